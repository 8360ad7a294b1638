//! `writeback completions` and `writeback man`: what a shell and a reader of manuals want.

use clap::CommandFactory;
use clap_complete::Shell;

use super::{CommandError, Ending};
use crate::cli::{Cli, ManArguments};
use crate::report::output::print_bytes;

pub(super) fn completions(shell: Shell) -> Result<Ending, CommandError> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "writeback", &mut script);
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
