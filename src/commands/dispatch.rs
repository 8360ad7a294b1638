//! From the command line to the command, and from how it ended to what the process exits with.

use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;
use std::time::Duration;

use super::{
    CommandError, Ending, activity, agencies, check, cycle, describe, history, init, manual,
    methods, page, park, pause, practice, preview, questions, run, runs, schema, serve, settings,
    status, test, undo, verify,
};
use crate::cli::{Cli, Command};
use crate::destination::service::give_back_sessions;
use crate::report::output::{self, print};
use crate::room;

/// Carries out a command and says how it ended.
pub(crate) fn dispatch(cli: Cli) -> ExitCode {
    match panic::catch_unwind(AssertUnwindSafe(|| carry_out(cli)))
        .unwrap_or(Err(CommandError::Panicked))
        .and_then(told)
    {
        Ok(Ending::Done) => ExitCode::SUCCESS,
        Ok(Ending::Rejected | Ending::Drifted | Ending::Unmatched) => ExitCode::from(1),
        Ok(Ending::Guarded) => ExitCode::from(3),
        Err(error) => {
            output::tell(&error.into_text());
            ExitCode::from(2)
        }
    }
}

/// How a command ended whose work is done, and what it had to say is not where it should be.
fn told(ending: Ending) -> Result<Ending, CommandError> {
    match output::stdout_failure() {
        None => Ok(ending),
        Some(error) => Err(CommandError::Untold {
            source: io::Error::new(error.kind(), error.to_string()),
        }),
    }
}

fn carry_out(cli: Cli) -> Result<Ending, CommandError> {
    match cli.command {
        Command::Methods(arguments) => methods::methods(&arguments),
        Command::Completions(arguments) => manual::completions(arguments.shell),
        Command::Man(arguments) => manual::man_pages(&arguments),
        Command::Init(mut arguments) => in_runtime(async move {
            arguments.timezone = cli.timezone.map(|zone| zone.name().to_owned());
            print(&init::init(&arguments).await?);
            Ok(Ending::Done)
        }),
        Command::Agencies(arguments) => agencies::agencies(&cli.project, &arguments),
        Command::Settings(arguments) => settings::settings(&arguments),
        Command::Questions(arguments) => in_runtime(questions::questions(&cli.project, &arguments)),
        Command::Show(arguments) => in_runtime(agencies::show(&cli.project, &arguments)),
        Command::Check(arguments) => in_runtime(check::check(&cli.project, &arguments)),
        Command::Preview(arguments) => in_runtime(preview::preview(&cli.project, &arguments)),
        Command::Test(arguments) => in_runtime(test::test(&cli.project, &arguments)),
        Command::Run(arguments) => in_runtime(run::run(&cli.project, &arguments))
            .inspect_err(|error| run::tell_not_begun(error, &arguments)),
        Command::Park(arguments) => in_runtime(park::park(&cli.project, &arguments)),
        Command::Pause(arguments) => in_runtime(pause::pause(&cli.project, &arguments)),
        Command::History(arguments) => in_runtime(history::history(&cli.project, &arguments)),
        Command::Verify(arguments) => in_runtime(verify::verify(&cli.project, &arguments)),
        Command::Cycle(arguments) => in_runtime(cycle::cycle(&cli.project, &arguments)),
        Command::Runs(arguments) => in_runtime(runs::runs(&cli.project, &arguments)),
        Command::Practice(arguments) => in_runtime(practice::practice(&cli.project, &arguments)),
        Command::Status(arguments) => in_runtime(status::status(&cli.project, &arguments)),
        Command::Next(arguments) => in_runtime(status::next(&cli.project, &arguments)),
        Command::Page(arguments) => in_runtime(page::page(&cli.project, &arguments)),
        Command::Activity(arguments) => in_runtime(activity::activity(&cli.project, &arguments)),
        Command::Serve(arguments) => in_runtime(serve::serve(&cli.project, &arguments)),
        Command::Undo(arguments) => in_runtime(undo::undo(&cli.project, &arguments)),
        Command::Schema(arguments) => in_runtime(schema::schema(&cli.project, &arguments)),
        Command::Describe(arguments) => in_runtime(describe::describe(&cli.project, &arguments)),
    }
}

/// How long a thread for blocking work stays when it has none: what the system gave once it may not
/// give again.
const THREAD_KEEP_ALIVE: Duration = Duration::from_secs(60 * 60);

fn in_runtime(
    command: impl Future<Output = Result<Ending, CommandError>>,
) -> Result<Ending, CommandError> {
    room::check()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(room::workers())
        .thread_keep_alive(THREAD_KEEP_ALIVE)
        .enable_all()
        .build()
        .map_err(|source| CommandError::Io {
            doing: "start the runtime",
            source,
        })?;
    // With one thread for blocking work the runtime waits where the system gives no further one;
    // with none it panics.
    drop(runtime.spawn_blocking(|| ()));
    let ended = runtime.block_on(async {
        let ended = command.await;
        give_back_sessions().await;
        ended
    });
    // The system's name resolution cannot be stopped, and a connection that was given up may have
    // left it waiting.
    runtime.shutdown_background();
    ended
}
