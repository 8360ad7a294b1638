//! `writeback practice`: serves the stand-in of a web API by itself.

use std::net::SocketAddr;
use std::path::Path;

use super::{CommandError, Ending, load_project, signals, warn_of};
use crate::cli::PracticeArguments;
use crate::domain::connection::{ServiceAccess, ServiceKind, System};
use crate::practice::{
    self, CLIENT_ID, CLIENT_SECRET, HUBSPOT_TOKEN, PASSWORD, Place, REFRESH_TOKEN, TENANT, USERNAME,
};
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
    let System::Service(settings) = &connection.system else {
        return Err(absent());
    };
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
        way_in(place.kind, address),
        place.file("db").display()
    )
}

/// How any client of the API is let in.
fn way_in(kind: ServiceKind, address: SocketAddr) -> String {
    match kind {
        ServiceKind::Salesforce => format!(
            "token: POST http://{address}/services/oauth2/token with client_id={CLIENT_ID} client_secret={CLIENT_SECRET} \
             (grant_type=client_credentials), or refresh_token={REFRESH_TOKEN}"
        ),
        ServiceKind::Dataverse => format!(
            "token: POST http://{address}/{TENANT}/oauth2/v2.0/token with client_id={CLIENT_ID} client_secret={CLIENT_SECRET} \
             scope=http://{address}/.default (grant_type=client_credentials)"
        ),
        ServiceKind::HubSpot => format!("token: Authorization: Bearer {HUBSPOT_TOKEN}"),
        ServiceKind::Bullhorn => format!(
            "log-in: GET http://{address}/rest-services/loginInfo?username={USERNAME}, then OAuth with client_id={CLIENT_ID} \
             client_secret={CLIENT_SECRET} username={USERNAME} password={PASSWORD}"
        ),
    }
}
