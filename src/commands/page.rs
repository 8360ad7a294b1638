//! `writeback page`: the page without the scheduler, and who may see it.

use std::io::{self, BufRead as _, IsTerminal as _};
use std::path::Path;
use std::time::Duration;

use super::{CommandError, Ending, load_project, print, read_job, record_act, signals, user_name};
use crate::access::{AccessBook, AccessError, LINK_DURATION, Standing};
use crate::cli::{PageArguments, PageCommand, SessionCommand, TokenCommand, UserCommand};
use crate::config::Project;
use crate::domain::access::Role;
use crate::ledger::Ledger;
use crate::page::{self, ADDRESS_USUAL, PageError};
use crate::report::access as report;
use crate::report::output;
use crate::run::stop::Stop;

pub(super) async fn page(root: &Path, arguments: &PageArguments) -> Result<Ending, CommandError> {
    match &arguments.command {
        None => show(root, arguments).await?,
        Some(PageCommand::Openapi) => print(&page::openapi_text()),
        Some(command) => decide(root, command).await?,
    }
    Ok(Ending::Done)
}

async fn show(root: &Path, arguments: &PageArguments) -> Result<(), CommandError> {
    let stop = Stop::new();
    signals::listen(&stop)?;
    let url = page::listen(root, &arguments.at, std::future::pending()).await?;
    output::tell(&format!("the page is at {url}; Ctrl-C ends it\n"));
    stop.asked().await;
    Ok(())
}

async fn decide(root: &Path, command: &PageCommand) -> Result<(), CommandError> {
    let project = load_project(root)?;
    let access = AccessBook::open(&project.state_folder())
        .await
        .map_err(refused)?;
    let decided = match command {
        PageCommand::Link { role, job } => {
            let standing = standing(&project, *role, job.as_deref())?;
            return link(&project, &access, &standing).await;
        }
        PageCommand::User(command) => user(&project, &access, command).await?,
        PageCommand::Token(command) => token(&project, &access, command).await?,
        PageCommand::Session(command) => session(&access, command).await?,
        PageCommand::Openapi => None,
    };
    match decided {
        Some((act, target)) => record(&project, act, &target).await,
        None => Ok(()),
    }
}

/// What was done, and to whom; nothing where somebody only looked.
type Decided = Result<Option<(&'static str, String)>, CommandError>;

/// What somebody is let in as. Errors: there is no such job.
fn standing(project: &Project, role: Role, job: Option<&str>) -> Result<Standing, CommandError> {
    let job = job.map(|job| Ok::<_, CommandError>(read_job(project, job)?.job.name));
    let job = job.transpose()?;
    Ok(Standing { role, job })
}

/// `operator`, or `operator of referral`.
fn told(standing: &Standing) -> String {
    let role = standing.role.name();
    let of = standing.job.as_ref().map(|job| format!(" of {job}"));
    format!("{role}{}", of.unwrap_or_default())
}

async fn link(
    project: &Project,
    access: &AccessBook,
    standing: &Standing,
) -> Result<(), CommandError> {
    let name = user_name().unwrap_or_else(|| "somebody at the machine".to_owned());
    let code = access.make_link(&name, standing).await.map_err(refused)?;
    let place = access.place().await.map_err(refused)?;
    let role = told(standing);
    record(project, "make link", &role).await?;
    if place.is_none() {
        let hint = "the page was not shown yet: `writeback serve --page ADDRESS` does\n";
        output::tell(hint);
    }
    let place = place.unwrap_or_else(|| format!("http://{ADDRESS_USUAL}"));
    print(&format!("{place}/enter/{}\n", code.reveal()));
    let minutes = LINK_DURATION.as_secs() / 60;
    output::tell(&format!(
        "lets you in as {role}, once, within {minutes} minutes\n"
    ));
    Ok(())
}

async fn user(project: &Project, access: &AccessBook, command: &UserCommand) -> Decided {
    match command {
        UserCommand::Add { name, role, job } => {
            let standing = standing(project, *role, job.as_deref())?;
            let password = password(name)?;
            access
                .add_person(name, &standing, password)
                .await
                .map_err(refused)?;
            Ok(Some(("add user", format!("{name}, {}", told(&standing)))))
        }
        UserCommand::List => {
            print(&report::people(&access.people().await.map_err(refused)?));
            Ok(None)
        }
        UserCommand::Remove { name } => {
            access.remove_person(name).await.map_err(refused)?;
            Ok(Some(("remove user", name.clone())))
        }
    }
}

async fn token(project: &Project, access: &AccessBook, command: &TokenCommand) -> Decided {
    match command {
        TokenCommand::Add {
            name,
            role,
            job,
            expires,
        } => {
            let standing = standing(project, *role, job.as_deref())?;
            let secret = access
                .add_token(name, *role, standing.job.as_deref(), *expires)
                .await
                .map_err(refused)?;
            print(&format!("{}\n", secret.reveal()));
            let lasts = humantime::format_duration(Duration::from_secs(expires.as_secs()));
            output::tell(&format!("it is good for {lasts}, and is not shown again\n"));
            Ok(Some(("add token", format!("{name}, {}", told(&standing)))))
        }
        TokenCommand::List => {
            print(&report::tokens(&access.tokens().await.map_err(refused)?));
            Ok(None)
        }
        TokenCommand::Remove { name } => {
            access.remove_token(name).await.map_err(refused)?;
            Ok(Some(("remove token", name.clone())))
        }
    }
}

async fn session(access: &AccessBook, command: &SessionCommand) -> Decided {
    match command {
        SessionCommand::List => {
            print(&report::sessions(
                &access.sessions().await.map_err(refused)?,
            ));
            Ok(None)
        }
        SessionCommand::Remove { session } => {
            access.end_session(*session).await.map_err(refused)?;
            Ok(Some(("end session", format!("session {session}"))))
        }
    }
}

/// A password, asked for twice at a terminal, else the first line of stdin.
fn password(name: &str) -> Result<String, CommandError> {
    let failed = |source| CommandError::Io {
        doing: "read a password",
        source,
    };
    if !io::stdin().is_terminal() {
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line).map_err(failed)?;
        return Ok(line.trim_end_matches(['\r', '\n']).to_owned());
    }
    dialoguer::Password::new()
        .with_prompt(format!("password of {name}"))
        .with_confirmation("once more", "they differ")
        .interact()
        .map_err(|error| failed(error.into()))
}

async fn record(project: &Project, act: &str, target: &str) -> Result<(), CommandError> {
    let ledger = Ledger::open(&project.state_folder()).await?;
    Ok(record_act(&ledger, act, target).await?)
}

fn refused(error: AccessError) -> CommandError {
    CommandError::Page(PageError::AccessBook(error))
}
