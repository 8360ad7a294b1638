//! Connections to web APIs: what people read when one has a mistake.

use super::*;
use crate::domain::connection::{Auth, ServiceAccess, ServiceSettings};

const LIVE: &str = r#"[connections.crm]
kind = "salesforce"
login_url = "https://acme.my.salesforce.com"
account = "00D5g000004XyZ1EAC"
quota_share = "40 %"
writers = 3
request_timeout = "30s"
requests_per_second = 20
api_version = "66.0"
auth = { flow = "client_credentials", client_id = "3MVG9", client_secret = { env = "CRM_PASSWORD" } }
"#;

fn settings(text: &str) -> (Connection, ServiceSettings) {
    let project = read(text).expect("a project without a mistake");
    let connection = project.connections["crm"].clone();
    let System::Service(settings) = connection.system.clone() else {
        panic!("a web API: {connection:?}");
    };
    (connection, settings)
}

fn read(text: &str) -> Result<Project, Vec<Problem>> {
    let environment = |name: &str| (name == "CRM_PASSWORD").then(|| OsString::from("canary-7f"));
    let surroundings = Surroundings {
        root: Path::new("/project"),
        environment: &environment,
        clock: chrono::Utc::now,
    };
    project_file::read_project(text, surroundings)
}

fn told(text: &str) -> String {
    let problems = read(text).expect_err("a project with mistakes");
    let lines = problems.iter().map(|problem| {
        let hint = problem.hint.as_deref().unwrap_or("-");
        let location = problem.location.as_ref().expect("a place");
        format!("{location} {}\n  {hint}\n", problem.message)
    });
    lines.collect()
}

#[test]
fn a_connection_to_a_web_api_is_read_whole() {
    let (connection, settings) = settings(LIVE);
    assert_eq!(connection.limits.writers, 3);
    assert_eq!(connection.limits.statement_timeout, Duration::from_secs(30));
    assert_eq!(settings.account.as_deref(), Some("00D5g000004XyZ1EAC"));
    assert_eq!(settings.quota_share.to_string(), "40 %");
    assert_eq!(settings.requests_per_second, Some(20));
    assert_eq!(settings.api_version.as_deref(), Some("66.0"));
    let ServiceAccess::Live(live) = &settings.access else {
        panic!("hosts and credentials: {settings:?}");
    };
    assert_eq!(live.login_url, "https://acme.my.salesforce.com");
    assert!(
        matches!(&live.auth, Auth::ClientCredentials { client_id, client_secret }
            if client_id == "3MVG9" && client_secret.reveal() == "canary-7f")
    );
    assert!(!format!("{connection:?}").contains("canary"));
}

#[test]
fn a_practice_stand_in_needs_a_folder_and_nothing_else() {
    let text = "[connections.crm]\nkind = \"salesforce\"\npractice = \"fixtures/crm\"\n";
    let (connection, settings) = settings(text);
    assert!(
        matches!(&settings.access, ServiceAccess::Practice { folder }
            if folder == Path::new("/project/fixtures/crm"))
    );
    assert_eq!(connection.limits.writers, 4);
    assert_eq!(settings.quota_share.to_string(), "50 %");
}

#[test]
fn a_connection_without_an_account_deserves_a_look() {
    let unpinned = LIVE.replace("account = \"00D5g000004XyZ1EAC\"\n", "");
    let project = read(&unpinned).expect("no mistake");
    let told: Vec<&str> = project.told_to_users["crm"]
        .iter()
        .map(|problem| problem.message.as_str())
        .collect();
    assert_eq!(
        told,
        ["connection `crm` names no `account`: whichever org its credentials lead to is written"]
    );
}

#[test]
fn every_mistake_of_a_connection_to_a_web_api_is_told_at_once() {
    let wrong = r#"[connections.crm]
kind = "salesforce"
login_url = "http://acme.my.salesforce.com/services?x=1"
account = "acme"
quota_share = "140 %"
api_version = 59
statement_timeout = "5s"
auth = { flow = "jwt", client_id = "x" }
"#;
    insta::assert_snapshot!(told(wrong), @r#"
    writeback.toml:7:1 `statement_timeout` means nothing to a connection of kind `salesforce`
      known keys: `kind`, `practice`, `login_url`, `api_url`, `account`, `auth`, `ca_file`, `quota_share`, `writers`, `connect_timeout`, `request_timeout`, `attempts_max`, `requests_per_second`, `api_version`, `timezone`
    writeback.toml:4:11 `account` is `acme`, which is not the id of an org
      write the Organization ID of Setup › Company Information: `00D` and 12 or 15 more signs
    writeback.toml:5:15 `quota_share` is 140 %, which is no share of the account's calls
      write more than `"0 %"` and at most `"100 %"`
    writeback.toml:6:15 `api_version` is `59`, which is no version from 61.0 on
      leave it out, or write one as in `api_version = "67.0"`
    writeback.toml:3:13 `login_url` is more or less than a host
      write `https://HOST`
    writeback.toml:8:17 `flow` is `jwt`, which is no way to log in
      did you mean `jwt_bearer`?
    "#);
}

#[test]
fn what_a_flow_lacks_and_what_it_has_no_use_for() {
    let wrong = LIVE.replace(
        "client_secret = {",
        "user = \"writer@acme.com\", private_key = {",
    );
    insta::assert_snapshot!(told(&wrong), @r#"
    writeback.toml:10:60 `user` means nothing to the flow `client_credentials`
      known keys: `flow`, `client_id`, `client_secret`
    writeback.toml:10:86 `private_key` means nothing to the flow `client_credentials`
      known keys: `flow`, `client_id`, `client_secret`
    writeback.toml:10:8 `auth` has no `client_secret`
      write `client_secret = { env = "NAME" }`
    "#);
    let wrong = LIVE.replace("https://acme.my", "https://login");
    insta::assert_snapshot!(told(&wrong), @r#"
    writeback.toml:3:13 `login.salesforce.com` grants no client credentials
      name the org's own host, as Setup › My Domain shows it: `https://MyDomain.my.salesforce.com`
    "#);
}

#[test]
fn a_practice_stand_in_beside_hosts_and_credentials() {
    let wrong = LIVE.replace("kind =", "practice = \"crm\"\nkind =");
    insta::assert_snapshot!(told(&wrong), @r#"
    writeback.toml:4:1 `login_url` means nothing beside `practice`
      a practice stand-in needs no host and no credentials: keep one of them
    writeback.toml:11:1 `auth` means nothing beside `practice`
      a practice stand-in needs no host and no credentials: keep one of them
    "#);
}

const HUBSPOT: &str = r#"[connections.crm]
kind = "hubspot"
account = "24281934"
auth = { flow = "token", token = { env = "CRM_PASSWORD" } }
"#;

#[test]
fn a_connection_to_a_portal_is_at_one_host_and_slow_unless_told_otherwise() {
    let (connection, settings) = settings(HUBSPOT);
    assert_eq!(settings.account.as_deref(), Some("24281934"));
    assert_eq!(settings.requests_per_second, Some(9));
    let ServiceAccess::Live(live) = &settings.access else {
        panic!("hosts and credentials: {settings:?}");
    };
    assert_eq!(live.login_url, "https://api.hubapi.com");
    assert!(matches!(&live.auth, Auth::Token { token } if token.reveal() == "canary-7f"));
    assert!(!format!("{connection:?}").contains("canary"));
}

#[test]
fn every_mistake_of_a_connection_to_a_portal_is_told_at_once() {
    let wrong = r#"[connections.crm]
kind = "hubspot"
account = "00D5g000004XyZ1EAC"
api_version = "2026-08"
auth = { flow = "hapikey", token = "x" }
"#;
    insta::assert_snapshot!(told(wrong), @r#"
    writeback.toml:3:11 `account` is `00D5g000004XyZ1EAC`, which is not the id of a portal
      write the Hub ID that stands beside the account's name in HubSpot: digits only
    writeback.toml:4:15 `api_version` is `2026-08`, which is no version from 2026-09 on
      leave it out, or write one as in `api_version = "2026-09"`
    writeback.toml:5:17 `flow` is `hapikey`, which is no way to log in
      HubSpot takes no API keys any more: write `token`, with a service key, or `refresh_token`
    "#);
    let unpinned = HUBSPOT.replace("account = \"24281934\"\n", "");
    let project = read(&unpinned).expect("no mistake");
    let told = &project.told_to_users["crm"][0].message;
    assert_eq!(
        told,
        "connection `crm` names no `account`: whichever portal its credentials lead to is written"
    );
}

const BULLHORN: &str = r#"[connections.crm]
kind = "bullhorn"
account = 12345
timezone = "America/Chicago"
quota = "50000 per month"
auth = { flow = "password", client_id = "id", client_secret = { env = "CRM_PASSWORD" }, user = "acme.api", password = { env = "CRM_PASSWORD" } }
"#;

#[test]
fn a_connection_to_bullhorn_needs_no_host_and_says_what_was_agreed() {
    let (connection, settings) = settings(BULLHORN);
    assert_eq!(connection.timezone, Some(chrono_tz::America::Chicago));
    assert_eq!(settings.account.as_deref(), Some("12345"));
    assert_eq!(settings.requests_per_second, Some(20));
    let allowance = settings.allowance.map(|allowance| allowance.to_string());
    assert_eq!(allowance.as_deref(), Some("50000 per month"));
    let ServiceAccess::Live(live) = &settings.access else {
        panic!("hosts and credentials: {settings:?}");
    };
    assert_eq!(live.login_url, "https://rest.bullhornstaffing.com");
    assert!(
        matches!(&live.auth, Auth::Password { user, password, .. }
            if user == "acme.api" && password.reveal() == "canary-7f"),
        "{live:?}"
    );
}

#[test]
fn every_mistake_of_a_connection_to_bullhorn_is_told_at_once() {
    let wrong = BULLHORN
        .replace("12345", "\"acme\"")
        .replace("50000 per month", "many")
        .replace("flow = \"password\"", "flow = \"pasword\"");
    insta::assert_snapshot!(told(&wrong), @r#"
    writeback.toml:3:11 `account` is `acme`, which is not the id of a corporation
      write its number, as `check` prints it once the connection works
    writeback.toml:5:9 `quota` is `many`, which is no number of calls in a period
      write as in `quota = "100000 per month"`, or `per day`
    writeback.toml:6:17 `flow` is `pasword`, which is no way to log in
      did you mean `password`?
    "#);
}
