//! Agencies on the page: who they are, whose their people are, and what each of them says otherwise.

use crate::browser::Browser;
use crate::browsing::enter;
use crate::harness::{SCORES, Server, Workspace, write_back};
use crate::person::Person;
use crate::shown::{OWN, Shown};

const BASE: &str = "[agencies]
column = 'agency'

[[write_back]]
name = 'candidate'
schema = 'sql/referral.sql'
source = 'files'
destination = 'crm'
table = 'candidate'
matching = 'upsert'

[write_back.fields]
id = 'referral_id'
name = 'name'
status = { string = 'New Lead' }
";

/// Two agencies of one job, each of which ran, and a job that is none of theirs.
fn place() -> Workspace {
    let place = Workspace::on(Server::Sqlite);
    let columns = "id VARCHAR(18) PRIMARY KEY, name TEXT, status TEXT, score INTEGER";
    place.table("candidate", columns, "id\n");
    let schema = "CREATE TABLE referrals (referral_id TEXT PRIMARY KEY, agency TEXT, name TEXT);";
    place.file("sql/referral.sql", schema);
    let records = "referral_id,agency,name\nR1,North,Ada\nR2,South Ltd,Bo\nR3,East,Di\n";
    place.file("data/referrals.csv", records);
    place.file("schedules/referral.toml", BASE);
    place.file("schedules/referral/north.toml", "agency = 'North'\n");
    let south =
        "agency = 'South Ltd'\n\n[write_back.candidate.fields]\nstatus = { string = 'Lead' }\n";
    place.file("schedules/referral/south.toml", south);
    place.file("data/other.csv", "id,score,note\nR1,5,x\n");
    place.file(
        "sql/other.sql",
        &format!("CREATE TABLE other ({SCORES});\n"),
    );
    let other = write_back(
        "other",
        "candidate",
        "ignore = ['note']",
        "id = 'id'\nscore = 'score'",
    );
    place.file("schedules/other.toml", &other);
    let ran = place.command(&["run", "referral"]);
    assert_eq!(ran.code, 1, "a record is of no agency: {ran}");
    let ran = place.command(&["run", "other"]);
    assert_eq!(ran.code, 0, "{ran}");
    place
}

#[test]
fn agencies_are_listed_with_what_each_has_switched_on_and_every_setting_has_its_place() {
    let place = place();
    let shown = Shown::page(&place);
    let viewer = Person::of(&shown, "viewer");
    let overview = viewer.get("/").body;
    assert!(overview.contains("href=\"/agencies\""), "{overview}");
    let listed = viewer.get("/agencies").body;
    for part in ["referral%2Fnorth", "South Ltd", "href=\"/runs/2\"", "✓ on"] {
        assert!(listed.contains(part), "{part} in {listed}");
    }
    let found = viewer.get("/agencies?q=south").body;
    assert!(
        found.contains("South Ltd") && !found.contains("referral%2Fnorth"),
        "{found}"
    );
    let job = viewer.get("/jobs/referral%2Fsouth").body;
    assert!(
        job.contains("South Ltd") && job.contains("agency of referral"),
        "{job}"
    );
    let printed = place
        .command(&["show", "referral", "--agency", "south", "--json"])
        .json();
    let told = viewer.json("/jobs/referral%2Fsouth/settings");
    assert_eq!(told["items"], printed["settings"]);
    let page = viewer.get("/settings/referral%2Fsouth").body;
    for part in [
        "its own",
        "schedules/referral/south.toml:4",
        "schedules/referral.toml:",
    ] {
        assert!(page.contains(part), "{part} in {page}");
    }
    assert!(!page.contains("Switch off candidate"), "editing is off");
    let agencies = place.command(&["agencies", "referral", "--json"]).json();
    let told = viewer.json("/agencies");
    for (told, printed) in told["items"]
        .as_array()
        .unwrap()
        .iter()
        .zip(agencies["agencies"].as_array().unwrap())
    {
        for key in ["agency", "called", "settings_changed", "write_backs"] {
            assert_eq!(told[key], printed[key], "{key}");
        }
    }
}

/// What one address answers: to people by session, to programs by token.
fn statuses(shown: &Shown<'_>, cookie: &str, token: &str, path: &str) -> [u16; 2] {
    let status = |headers: &[(&str, &str)]| shown.get(path, headers).status;
    [
        status(&[("Cookie", cookie)]),
        status(&[("Authorization", token)]),
    ]
}

#[test]
fn whoever_has_one_job_has_its_agencies_and_no_other() {
    let place = place();
    let shown = Shown::page(&place);
    let link = |job: &str| {
        let printed = place.command(&["page", "link", "--role", "operator", "--job", job]);
        assert_eq!(printed.code, 0, "{printed}");
        let path = printed
            .stdout
            .trim()
            .split_once(&shown.host)
            .unwrap()
            .1
            .to_owned();
        shown.send("POST", &path, &[OWN], "").cookie()
    };
    let south = (
        link("referral/south"),
        shown.token("south", "operator", &["--job", "referral/south"]),
    );
    let all = (
        link("referral"),
        shown.token("all", "operator", &["--job", "referral"]),
    );
    // Path, and whether one agency's people, and the base's, may see it.
    for (path, of_south, of_all) in [
        ("/", true, true),
        ("/jobs/referral%2Fsouth", true, true),
        ("/settings/referral%2Fsouth", true, true),
        ("/files/schedules/referral/south.toml", true, true),
        ("/files/schedules/referral.toml", true, true),
        ("/runs/2", true, true),
        ("/jobs/referral%2Fnorth", false, true),
        ("/runs/1", false, true),
        ("/files/schedules/referral/north.toml", false, true),
        ("/jobs/referral", false, true),
        ("/jobs/other", false, false),
        ("/runs/4", false, false),
        ("/files/schedules/other.toml", false, false),
        ("/files/writeback.toml", false, false),
        ("/activity", false, false),
        ("/problems", false, false),
    ] {
        let expected = |may: bool| if may { [200; 2] } else { [403; 2] };
        assert_eq!(
            statuses(&shown, &south.0, &south.1, path),
            expected(of_south),
            "{path}"
        );
        assert_eq!(
            statuses(&shown, &all.0, &all.1, path),
            expected(of_all),
            "{path}"
        );
    }
    let get = |cookie: &str, path: &str| shown.get(path, &[("Cookie", cookie)]).body;
    let overview = get(&south.0, "/");
    for other in ["/activity", "/problems", "referral%2Fnorth", "/jobs/other"] {
        assert!(!overview.contains(other), "{other} in {overview}");
    }
    let runs = |token: &str, query: &str| {
        let told = shown
            .get(&format!("/api/v1/runs{query}"), &[("Authorization", token)])
            .json();
        let runs = told["items"].as_array().unwrap().iter();
        runs.map(|run| run["run"].as_i64().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(runs(&south.1, ""), [2]);
    assert_eq!(runs(&all.1, ""), [3, 2, 1]);
    assert_eq!(runs(&all.1, "?job=referral/north"), [1]);
    assert_eq!(runs(&all.1, "?job=other"), Vec::<i64>::new());
    assert!(!get(&south.0, "/agencies").contains("north"));
    // A person's job is theirs from the next request on.
    let listed = place.command(&["page", "session", "list"]);
    assert!(listed.stdout.contains("referral/south"), "{listed}");
    let unknown = place.command(&["page", "link", "--job", "none"]);
    assert_eq!(unknown.code, 2, "{unknown}");
    let asked = shown.send(
        "POST",
        "/jobs/other/pause",
        &[OWN, ("Cookie", &all.0)],
        "because=x",
    );
    assert_eq!(asked.status, 403, "{}", asked.body);
}

const FILE: &str = "schedules/referral/contoso.toml";

/// The file with a line after another, or instead of it.
fn with(text: &str, line: &str, new: &str) -> String {
    assert!(text.contains(line), "{line} in {text}");
    text.replace(line, new)
}

#[test]
fn an_agencys_mapping_is_set_up_on_the_page_without_script() {
    let place = Workspace::example();
    let project = place.text("writeback.toml");
    place.file(
        "writeback.toml",
        &format!("{project}\n[page]\nedit = true\n"),
    );
    let shown = Shown::page(&place);
    let browser = Browser::open();
    browser.without_script();
    browser.go(&format!("http://{}{}", shown.host, shown.link("admin")));
    browser.click("main button").wait_to_leave("/enter/");
    browser.go(&format!("http://{}/agencies", shown.host));
    let settings = "a[href='/settings/referral%2Fcontoso']";
    let before = place.text(FILE);
    let mut expected = before.clone();
    let write = |expected: &str| {
        browser.wait_for("No mistake in the files");
        browser
            .click("main form button.primary")
            .wait_for_address("/files/");
        assert_eq!(place.text(FILE), expected);
        browser.go(&format!("http://{}/agencies", shown.host));
    };
    // Note write-back, and the code of its action type.
    browser.click(settings).wait_for("Contoso Talent");
    browser.click("[aria-label='Switch on referral_note']");
    assert_eq!(place.text(FILE), before, "nothing is written by looking");
    expected += "\n[write_back.referral_note]\nenabled = true\n";
    write(&expected);
    browser.click(settings);
    let form = "main form:has([value=action]):has([value=referral_note])";
    browser.fill(&format!("{form} [name=value]"), "20411");
    browser.click(&format!("{form} button"));
    expected += "note.action = \"20411\"\n";
    write(&expected);
    // A text, a question, a method.
    let field = "customText7 = \"off\"                   # this agency asks nothing of the kind\n";
    let add = |name: &str, source: &str, value: &str, more: &[(&str, &str)]| {
        browser.click(settings);
        let form = "main details:has([value='referral.candidate'])";
        browser.click(&format!("{form} summary"));
        browser.fill(&format!("{form} [name=field]"), name);
        browser.click(&format!("{form} [name=source] [value={source}]"));
        browser.fill(&format!("{form} [name=value]"), value);
        for (name, choice) in more {
            match *name {
                "more" => browser.fill(&format!("{form} [name=more]"), choice),
                _ => browser.click(&format!("{form} [name={name}] [value={choice}]")),
            };
        }
        browser.click(&format!("{form} button.primary"));
    };
    add("source", "string", "Sense Referral", &[]);
    let source = format!("{field}source      = {{ string = \"Sense Referral\" }}\n");
    expected = with(&expected, field, &source);
    write(&expected);
    add(
        "customText7",
        "question",
        "shift",
        &[("unanswered", "reject")],
    );
    expected = with(
        &expected,
        "customText7 = \"off\" ",
        "customText7 = { question = \"shift\", unanswered = \"reject\" } ",
    );
    write(&expected);
    add(
        "phone",
        "method",
        "phone",
        &[("method", "phone"), ("more", "region = \"US\"")],
    );
    let source = "source      = { string = \"Sense Referral\" }\n";
    let phone = "phone       = { method = \"phone\", column = \"phone\", region = \"US\" }\n";
    expected = with(&expected, source, &format!("{source}{phone}"));
    write(&expected);
    let told = place
        .command(&["show", "referral", "--agency", "contoso", "--json"])
        .json();
    let changed = told["settings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| one["changed"] == true);
    assert_eq!(changed.count(), 8, "{told}");
    // A mistake is shown with its place, and there is no button to write it.
    add(
        "phone",
        "method",
        "phone",
        &[("method", "phone"), ("more", "region = \"Mars\"")],
    );
    browser.wait_for(FILE).wait_for("Change it further");
    assert!(
        !browser.text().contains("Write schedules"),
        "{}",
        browser.text()
    );
    assert_eq!(place.text(FILE), expected);
    browser.with_script();
    assert_eq!(browser.complaints(), Vec::<String>::new());
    let operator = Person::of(&shown, "operator");
    let change =
        "/settings/referral%2Fcontoso/change?write_back=referral_note&what=enabled&on=true";
    assert_eq!(operator.get(change).status, 403);
    let page = operator.get("/settings/referral%2Fcontoso").body;
    assert!(!page.contains("/change"), "{page}");
}

#[test]
fn the_pages_of_agencies_fit_a_phone() {
    let place = place();
    let project = place.text("writeback.toml");
    place.file(
        "writeback.toml",
        &format!("{project}\n[page]\nedit = true\n"),
    );
    let shown = Shown::page(&place);
    let browser = Browser::open();
    enter(&browser, &shown, "admin");
    browser.width(320);
    let axe = crate::browsing::axe();
    for page in [
        "/agencies",
        "/settings/referral%2Fsouth",
        "/settings/other",
        "/settings/referral",
    ] {
        browser.go(&format!("http://{}{page}", shown.host));
        browser.script("for (const one of document.querySelectorAll('details')) one.open = true");
        let within = "const forms = [...document.querySelectorAll('form.sheet')].filter((form) => form.scrollWidth > form.clientWidth);
                      return forms.length ? 9999 : document.documentElement.scrollWidth";
        let width = browser.script(within);
        assert!(width.as_u64().unwrap() <= 320, "{page} is {width} wide");
        browser.script(&axe);
        let found = browser.script_later(
            "axe.run(document, { resultTypes: ['violations'] }).then((found) => arguments[0](
                 found.violations.map((one) => one.id + ': ' + one.nodes.map((node) => node.html).slice(0, 3).join(' '))),
                 (error) => arguments[0]([String(error)]))",
        );
        assert_eq!(found, serde_json::Value::Array(Vec::new()), "{page}");
    }
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn a_question_is_chosen_from_those_that_were_asked() {
    let place = Workspace::example();
    let project = place.text("writeback.toml");
    place.file(
        "writeback.toml",
        &format!("{project}\n[page]\nedit = true\n"),
    );
    let shown = Shown::page(&place);
    let admin = Person::of(&shown, "admin");
    let settings = admin.get("/settings/referral%2Fcontoso").body;
    let link = "/settings/referral%2Fcontoso/questions?write_back=referral.candidate";
    assert!(settings.contains(link), "{settings}");
    let printed = place
        .command(&["questions", "referral/contoso", "--json"])
        .json();
    assert_eq!(admin.json("/jobs/referral%2Fcontoso/questions"), printed);
    let page = admin.get(link).body;
    for question in printed["questions"].as_array().unwrap() {
        let id = question["question"].as_str().unwrap();
        assert!(page.contains(&format!("value=\"{id}\"")), "{id} in {page}");
        let words = question["text"].as_str().unwrap();
        assert!(
            page.contains(&words.replace('&', "&amp;")),
            "{words} in {page}"
        );
    }
    let before = place.text(FILE);
    let change = "/settings/referral%2Fcontoso/change?write_back=referral.candidate&what=field&source=question\
                  &value=shift&field=customText7&unanswered=reject";
    let difference = admin.get(change);
    assert_eq!(difference.status, 200, "{}", difference.body);
    let line = "customText7 = { question = &quot;shift&quot;, unanswered = &quot;reject&quot; }";
    assert!(difference.body.contains(line), "{}", difference.body);
    assert_eq!(place.text(FILE), before, "nothing is written by looking");
    let operator = Person::of(&shown, "operator");
    let page = operator.get(link).body;
    assert!(
        page.contains("shift") && !page.contains("type=\"radio\""),
        "{page}"
    );
    // Whose one agency is sees what its own records were asked, and no other agency.
    let own = shown.token("own", "admin", &["--job", "referral/contoso"]);
    let told = shown.get(
        "/api/v1/jobs/referral%2Fcontoso/questions",
        &[("Authorization", &own)],
    );
    let told = told.json();
    let questions = told["questions"].as_array().unwrap();
    assert!(!questions.is_empty(), "{told}");
    assert!(
        questions
            .iter()
            .all(|one| one["agencies"].as_array().unwrap().len() == 1),
        "{told}"
    );
}
