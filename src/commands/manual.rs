//! `writeback completions` and `writeback man`: what a shell and a reader of manuals want.

use clap::CommandFactory;
use clap_complete::Shell;

use super::{CommandError, Ending, print};
use crate::cli::Cli;

pub(super) fn completions(shell: Shell) -> Result<Ending, CommandError> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "writeback", &mut script);
    print(&String::from_utf8_lossy(&script))?;
    Ok(Ending::Done)
}

pub(super) fn man_page() -> Result<Ending, CommandError> {
    let mut page = Vec::new();
    clap_mangen::Man::new(Cli::command())
        .render(&mut page)
        .map_err(|source| CommandError::Io { doing: "write the man page", source })?;
    print(&String::from_utf8_lossy(&page))?;
    Ok(Ending::Done)
}
