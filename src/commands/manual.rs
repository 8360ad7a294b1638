//! `writeback completions` and `writeback man`: what a shell and a reader of manuals want.

use std::io;

use clap::CommandFactory;
use clap_complete::Shell;
use clap_complete::env::{CompleteEnv, Shells};

use super::{CommandError, Ending};
use crate::cli::{Cli, ManArguments};
use crate::report::output::print_bytes;

/// The variable by which a shell asks for what could stand next.
pub(crate) const COMPLETE_VARIABLE: &str = "WRITEBACK_COMPLETE";

/// Answers a shell that asks what could stand next, and ends; does nothing for anybody else.
pub(crate) fn complete() {
    CompleteEnv::with_factory(Cli::command)
        .var(COMPLETE_VARIABLE)
        .complete();
}

pub(super) fn completions(shell: Shell) -> Result<Ending, CommandError> {
    let failed = |source| CommandError::Io {
        doing: "write the completion script",
        source,
    };
    let shells = Shells::builtins();
    let unknown = || io::Error::other("it is for a shell that is not known here");
    let name = "writeback";
    let mut script = Vec::new();
    shells
        .completer(&shell.to_string())
        .ok_or_else(unknown)
        .and_then(|shell| {
            shell.write_registration(COMPLETE_VARIABLE, name, name, name, &mut script)
        })
        .map_err(failed)?;
    print_bytes(&script);
    Ok(Ending::Done)
}

pub(super) fn man_pages(arguments: &ManArguments) -> Result<Ending, CommandError> {
    let failed = |source| CommandError::Io {
        doing: "write the man page",
        source,
    };
    match &arguments.output {
        Some(folder) => clap_mangen::generate_to(Cli::command(), folder).map_err(failed)?,
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(Cli::command())
                .render(&mut page)
                .map_err(failed)?;
            print_bytes(&page);
        }
    }
    Ok(Ending::Done)
}
