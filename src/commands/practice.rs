//! `writeback practice`: serves the stand-in of a web API by itself.

use std::path::Path;

use super::{CommandError, Ending, load_project, signals, warn_of};
use crate::cli::PracticeArguments;
use crate::domain::connection::ServiceAccess;
use crate::practice::{self, Place};
use crate::report::output::print;

pub(super) async fn practice(
    root: &Path,
    arguments: &PracticeArguments,
) -> Result<Ending, CommandError> {
    let project = load_project(root)?;
    let place = place_of(&project, &arguments.connection)?;
    let wishes = practice::Wishes {
        address: arguments.listen,
        faults: arguments.faults.clone(),
        fresh: arguments.fresh,
    };
    let served = practice::serve_as(&place, wishes).await?;
    print(&told(&place, served));
    if matches!(served, practice::Served::Here(_)) {
        signals::asked_to_stop().await?;
    }
    Ok(Ending::Done)
}

fn place_of(project: &crate::config::Project, name: &str) -> Result<Place, CommandError> {
    let found = project.connection(name);
    let (connection, warnings) = found.map_err(|problems| CommandError::Problems {
        title: format!("connection `{name}` cannot be used"),
        problems,
    })?;
    warn_of(&warnings);
    let absent = || CommandError::NoPractice {
        connection: name.to_owned(),
    };
    let settings = connection.system.service().ok_or_else(absent)?;
    match &settings.access {
        ServiceAccess::Practice { folder } => Ok(Place {
            kind: settings.kind,
            folder: folder.clone(),
            state_folder: settings.state_folder.clone(),
            name: name.to_owned(),
        }),
        ServiceAccess::Live(_) => Err(absent()),
    }
}

fn told(place: &Place, served: practice::Served) -> String {
    let address = served.address();
    let already = match served {
        practice::Served::Here(_) => "",
        practice::Served::Elsewhere(_) => ", where another process serves it",
    };
    format!(
        "practice {} at http://{address}{already}\n  {}\n  state: {}\n",
        place.kind.name(),
        practice::way_in(place.kind, address),
        place.file("db").display()
    )
}
