//! `writeback serve`: the scheduler.

use std::path::Path;

use super::{CommandError, Ending, signals};
use crate::cli::ServeArguments;
use crate::page;
use crate::run::stop::Stop;
use crate::schedule::serve::{self, ServeSettings};

pub(super) async fn serve(root: &Path, arguments: &ServeArguments) -> Result<Ending, CommandError> {
    let stop = Stop::new();
    signals::listen(&stop)?;
    let reload = signals::hang_ups()?;
    let settings = ServeSettings {
        listen: arguments.listen,
        runs_max: arguments.runs_at_once.into(),
        grace: arguments.grace,
    };
    if let Some(place) = &arguments.page {
        // Also while another process serves: a page that stands by shows the same.
        page::listen(root, place, std::future::pending()).await?;
    }
    serve::serve(root, settings, stop, reload).await?;
    Ok(Ending::Done)
}
