//! Editing files on the page: what is written is what was shown, and nothing that moved underneath
//! or would be a mistake.

use std::os::unix::fs::PermissionsExt as _;

use crate::browser::Browser;
use crate::harness::{FIELDS, SCORES, Server, Workspace, write_back};
use crate::person::Person;
use crate::shown::Shown;

fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

fn place() -> Workspace {
    let rows = "id,score,note,phone\nA1,1,a,\n";
    let place = Workspace::accounts(Server::Sqlite, rows, "id,score,note\nA1,2,a\n");
    let project = place.connection("files") + &place.connection("crm");
    place.file("writeback.toml", &format!("{project}[page]\nedit = true\n"));
    place.file(
        "schedules/job.toml",
        &write_back("scores", "accounts", "max_changed = '40%'", FIELDS),
    );
    place
}

/// The digest that a form begins from.
fn base(person: &Person<'_>, file: &str) -> String {
    let form = person.get(&format!("/edit/{file}")).body;
    let rest = form.split("name=\"base\" value=\"").nth(1);
    let rest = rest.unwrap_or_else(|| panic!("no form: {form}"));
    rest.split('"').next().unwrap().to_owned()
}

const FILE: &str = "schedules/job.toml";

#[test]
fn an_edit_writes_the_bytes_that_were_changed_and_no_others() {
    let place = place();
    // As an editor on Windows leaves it, with a mode of its own.
    let text = format!("\u{feff}# why\n{}", place.text(FILE)).replace('\n', "\r\n");
    place.file(FILE, &text);
    let path = place.path(FILE);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    let shown = Shown::page(&place);
    let admin = Person::of(&shown, "admin");
    let base = base(&admin, FILE);
    let sent = text
        .trim_start_matches('\u{feff}')
        .replace("'40%'", "'55%'");
    let form = format!("base={base}&text={}", encoded(&sent));
    let page = admin.post(&format!("/edit/{FILE}"), &form);
    assert_eq!(page.status, 200, "{}", page.body);
    for part in [
        "-max_changed = &#39;40%&#39;",
        "+max_changed = &#39;55%&#39;",
        "No mistake",
    ] {
        let plain = part.replace("&#39;", "'");
        assert!(
            page.body.contains(part) || page.body.contains(&plain),
            "{part} in {}",
            page.body
        );
    }
    assert_eq!(place.text(FILE), text, "nothing is written by looking");
    let written = admin.post(&format!("/edit/{FILE}"), &format!("{form}&write=1"));
    assert_eq!(written.status, 303, "{}", written.body);
    assert_eq!(place.text(FILE), text.replace("'40%'", "'55%'"));
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
    let acts = place.command(&["activity", "--json"]).json();
    let edits: Vec<_> = acts["actions"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|act| act["act"] == "edit")
        .collect();
    assert_eq!(edits.len(), 1, "{acts:#}");
    assert_eq!(
        (&edits[0]["target"], &edits[0]["seen"]),
        (&FILE.into(), &base.into())
    );
    // And back.
    let api = format!("/files/{}", FILE.replace('/', "%2F"));
    let read = admin.json(&api);
    let headers = [
        ("Authorization", admin.token.as_str()),
        ("If-Match", read["digest"].as_str().unwrap()),
    ];
    let body = serde_json::json!({ "text": text.trim_start_matches('\u{feff}') }).to_string();
    let put = shown.send_json("PUT", &format!("/api/v1{api}"), &headers, &body);
    assert_eq!(put.status, 200, "{}", put.body);
    assert_eq!(place.text(FILE), text);
}

#[test]
fn what_moved_underneath_or_would_be_a_mistake_is_not_written() {
    let place = place();
    let shown = Shown::page(&place);
    let admin = Person::of(&shown, "admin");
    let base = base(&admin, FILE);
    let text = place.text(FILE);
    let address = format!("/edit/{FILE}");
    let broken = text.replace("table = ", "tabel = ");
    assert_ne!(broken, text);
    let form = |text: &str| format!("base={base}&write=1&text={}", encoded(text));
    let refused = admin.post(&address, &form(&broken));
    assert_eq!(refused.status, 422, "{}", refused.body);
    assert!(refused.body.contains("tabel"), "{}", refused.body);
    assert!(
        refused.body.contains("schedules/job.toml"),
        "{}",
        refused.body
    );
    // A schema that another file needs.
    let schema = place.text("sql/scores.sql");
    let schema_base = self::base(&admin, "sql/scores.sql");
    let other = format!(
        "base={schema_base}&write=1&text={}",
        encoded(&schema.replace("note", "remark"))
    );
    assert_eq!(admin.post("/edit/sql/scores.sql", &other).status, 422);
    assert_eq!(place.text("sql/scores.sql"), schema);
    // Somebody saved it in an editor.
    place.file(FILE, &format!("# mine\n{text}"));
    let moved = admin.post(&address, &form(&text.replace("'40%'", "'55%'")));
    assert_eq!(moved.status, 409, "{}", moved.body);
    assert!(moved.body.contains("-# mine"), "{}", moved.body);
    assert_eq!(place.text(FILE), format!("# mine\n{text}"));
    for other in ["writeback.toml", "data/scores.csv", "sql/../writeback.toml"] {
        let answer = admin.get(&format!("/edit/{other}"));
        assert!(
            [403, 404].contains(&answer.status),
            "{other}: {}",
            answer.status
        );
    }
}

#[test]
fn what_cannot_be_written_is_there_to_be_copied() {
    let place = place();
    let shown = Shown::page_without_writing(&place, "schedules");
    let admin = Person::of(&shown, "admin");
    let (base, text) = (base(&admin, FILE), place.text(FILE));
    let changed = text.replace("'40%'", "'55%'");
    let form = format!("base={base}&write=1&text={}", encoded(&changed));
    let refused = admin.post(&format!("/edit/{FILE}"), &form);
    assert_eq!(refused.status, 409, "{}", refused.body);
    for part in [
        "could not be written",
        "copy the difference",
        "+max_changed",
    ] {
        assert!(refused.body.contains(part), "{part} in {}", refused.body);
    }
    assert_eq!(place.text(FILE), text);
    let acts = place.command(&["activity", "--json"]).json().to_string();
    assert!(acts.contains("could not be written"), "{acts}");
}

#[test]
fn of_two_edits_at_once_one_wins() {
    let place = place();
    let shown = Shown::page(&place);
    let admin = Person::of(&shown, "admin");
    let (base, text) = (base(&admin, FILE), place.text(FILE));
    let url = format!("http://{}/edit/{FILE}", shown.host);
    let cookie = admin.cookie.clone();
    let config = ureq::Agent::config_builder()
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .build();
    let agent: ureq::Agent = config.into();
    let edit = |percent: &str| {
        let text = text.replace("'40%'", &format!("'{percent}%'"));
        let form = format!("base={base}&write=1&text={}", encoded(&text));
        let sending = agent
            .post(&url)
            .header("Cookie", &cookie)
            .header("Sec-Fetch-Site", "same-origin")
            .header("Content-Type", "application/x-www-form-urlencoded");
        sending.send(form).unwrap().status().as_u16()
    };
    let (first, second) = std::thread::scope(|scope| {
        let first = scope.spawn(|| edit("51"));
        let second = scope.spawn(|| edit("52"));
        (first.join().unwrap(), second.join().unwrap())
    });
    let mut statuses = [first, second];
    statuses.sort_unstable();
    assert_eq!(statuses, [303, 409]);
    let now = place.text(FILE);
    assert_eq!(now.contains("'51%'"), first == 303, "{now}");
}

#[test]
fn files_are_edited_only_where_that_is_on_and_by_admins() {
    let place = place();
    let shown = Shown::page(&place);
    let operator = Person::of(&shown, "operator");
    assert_eq!(operator.get(&format!("/edit/{FILE}")).status, 403);
    assert!(
        !operator
            .get(&format!("/files/{FILE}"))
            .body
            .contains("/edit/")
    );
    let project = place
        .text("writeback.toml")
        .replace("edit = true", "edit = false");
    place.file("writeback.toml", &project);
    let shown = Shown::page(&place);
    let admin = Person::named(&shown, "other", "admin");
    let off = admin.get(&format!("/edit/{FILE}"));
    assert_eq!(off.status, 403);
    assert!(off.body.contains("edit = true"), "{}", off.body);
    assert!(!admin.get(&format!("/files/{FILE}")).body.contains("/edit/"));
}

#[test]
fn a_file_is_edited_in_a_browser_without_script() {
    let place = place();
    let shown = Shown::page(&place);
    let browser = Browser::open();
    browser.without_script();
    browser.go(&format!("http://{}{}", shown.host, shown.link("admin")));
    browser.click("main button").wait_to_leave("/enter/");
    browser.go(&format!("http://{}/files/{FILE}", shown.host));
    browser.click("main a.button").wait_for_address("/edit/");
    let text = place.text(FILE);
    browser.fill("#text", &text.replace("'40%'", "'55%'"));
    browser.click("main button.primary");
    browser
        .click("main form button.primary")
        .wait_for_address("/files/");
    assert_eq!(place.text(FILE), text.replace("'40%'", "'55%'"));
    browser.with_script();
}

#[test]
fn a_field_has_one_writer_in_real_time_and_a_switch_that_is_off_for_good_says_why() {
    let place = place();
    let other = "schedules/other.toml";
    place.file("data/more.csv", "id,score,note\nA1,2,a\n");
    place.file("sql/more.sql", &format!("CREATE TABLE more ({SCORES});\n"));
    place.file(other, &write_back("more", "accounts", "", FIELDS));
    let shown = Shown::page(&place);
    let browser = Browser::open();
    crate::browsing::enter(&browser, &shown, "admin");
    let go = |page: &str| browser.go(&format!("http://{}{page}", shown.host));
    go("/jobs/job/scores").wait_for("no: records are matched on it");
    browser.click("[aria-label='Switch on score']");
    browser.wait_for("No mistake in the files");
    let line = |text: &str| {
        text.lines()
            .find(|line| line.starts_with("score"))
            .unwrap()
            .to_owned()
    };
    let before = place.text(FILE);
    let added = browser.text();
    assert!(added.contains("realtime = true }"), "{added}");
    assert_eq!(place.text(FILE), before, "nothing is written by looking");
    browser
        .click("main form button.primary")
        .wait_for_address("/files/");
    let after = place.text(FILE);
    assert!(line(&after).contains("realtime = true"), "{after}");
    assert_eq!(
        after.replace(&line(&after), &line(&before)),
        before,
        "one line is another"
    );
    // Another that writes the same column is refused, and told of the first.
    go("/jobs/other/more").wait_for("no: written by scores, schedules/job.toml:");
    let refused = go("/jobs/other/more/switch?field=score&on=true");
    refused.wait_for("is written in real time by `scores`, schedules/job.toml:");
    assert_eq!(
        place.text(other),
        write_back("more", "accounts", "", FIELDS)
    );
    go("/jobs/job/scores").click("[aria-label='Switch off score']");
    browser.wait_for("No mistake in the files");
    browser
        .click("main form button.primary")
        .wait_for_address("/files/");
    go("/jobs/other/more").wait_for("Switch on");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}
