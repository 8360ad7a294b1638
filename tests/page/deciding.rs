//! What takes a person's word: approving what a guard stopped, applying exactly what a preview
//! showed, taking a run back. Each is bound to what was seen.

use serde_json::Value;

use crate::fixture;
use crate::harness::{FIELDS, Server, Workspace, write_back};
use crate::person::Person;
use crate::shown::Shown;

const ACCOUNTS: &str = "id,score,note,phone\nA1,1,a,\nA2,2,b,\nA3,3,c,\n";

/// A job with a guard whose first cycle is delivered: scores are 2, 2, 3.
fn place() -> Workspace {
    let place = Workspace::accounts(
        Server::Sqlite,
        ACCOUNTS,
        "id,score,note\nA1,2,a\nA2,2,b\nA3,3,c\n",
    );
    let connections = place.connection("files") + &place.connection("crm");
    place.file(
        "writeback.toml",
        &format!("{connections}[dashboards.health]\nannounced = true\n"),
    );
    let job = write_back("scores", "accounts", "max_changed = '40%'", FIELDS);
    // A gate that never opens: what runs here was asked for.
    let cadence = "[cadence]\ndashboard = 'health'\nat = [2020-12-24T06:00:00Z]\n\n";
    place.file("schedules/job.toml", &format!("{cadence}{job}"));
    fixture::announce(&place, "W45");
    assert_eq!(place.run().summary(), "3 read = 1 updated + 2 unchanged");
    place
}

/// Whose second cycle a guard stopped.
pub(crate) fn stopped() -> Workspace {
    let place = place();
    place.file(
        "data/scores.csv",
        "id,score,note\nA1,20,a\nA2,20,b\nA3,30,c\n",
    );
    fixture::announce(&place, "W46");
    assert_eq!(place.run().code, 3, "a guard stops it");
    place
}

fn serving(place: &Workspace) -> Shown<'_> {
    Shown::start(place, &["serve", "--page", "127.0.0.1:0"])
}

fn number(address: &str) -> &str {
    address.rsplit('/').next().unwrap()
}

#[test]
fn an_approval_writes_the_stopped_records_and_keeps_who_and_why() {
    let place = stopped();
    let shown = serving(&place);
    let admin = Person::of(&shown, "admin");
    let form = admin.get("/runs/2/approve").body;
    assert!(form.contains("at most 40 % may"), "{form}");
    assert!(form.contains("Its last run changed 33.3 %"), "{form}");
    let (address, look) = admin.look("/runs/2/approve/looks", "key=l1");
    assert_eq!(look["told"]["write_backs"][0]["updated"], 3, "{look}");
    let page = admin.get(&address).body;
    for part in ["Let 3 records be changed", "<td class=\"value\">20</td>"] {
        assert!(page.contains(part), "{part} in {page}");
    }
    // Without a reason nothing happens.
    let body = format!("key=a1&look={}&reason=", number(&address));
    let silent = admin.post("/runs/2/approval", &body);
    assert_eq!(silent.status, 422, "{}", silent.body);
    let body = format!("key=a1&look={}&reason=a+new+model", number(&address));
    let (first, again) = (
        admin.post("/runs/2/approval", &body),
        admin.post("/runs/2/approval", &body),
    );
    assert_eq!((first.status, again.status), (303, 303), "{}", first.body);
    assert_eq!(first.header("location"), again.header("location"));
    let request = admin.ended(first.header("location").unwrap());
    assert_eq!(request["message"], "succeeded", "{request}");
    assert_eq!(
        place.rows("accounts"),
        "id,score,note,phone\nA1,20,a,\nA2,20,b,\nA3,30,c,\n"
    );
    let run = place.command(&["runs", "2", "--json"]).json();
    assert_eq!(run["approval"]["reason"], "a new model", "{run}");
    let acts = place.command(&["activity", "--json"]).json();
    let acts = acts["actions"].as_array().unwrap();
    let approved: Vec<_> = acts.iter().filter(|act| act["act"] == "approve").collect();
    assert_eq!(approved.len(), 1, "{acts:#?}");
    assert_eq!(approved[0]["target"], "run 2");
    assert_eq!(approved[0]["seen"], look["seen"]);
}

#[test]
fn where_four_eyes_are_wanted_nobody_lets_their_own_run_go_ahead() {
    let place = place();
    let project = place.text("writeback.toml");
    place.file(
        "writeback.toml",
        &format!("{project}[page]\nedit = true\napprove_by_another = true\n"),
    );
    place.file(
        "data/scores.csv",
        "id,score,note\nA1,20,a\nA2,20,b\nA3,30,c\n",
    );
    fixture::announce(&place, "W46");
    {
        // Before anybody serves, so that who serves has read it.
        let shown = Shown::page(&place);
        let editor = Person::named(&shown, "editor", "admin");
        let edited = editor.json("/files/schedules%2Fjob.toml");
        let text = format!("{}\n# a word\n", edited["text"].as_str().unwrap());
        let headers = [
            ("Authorization", editor.token.as_str()),
            ("If-Match", edited["digest"].as_str().unwrap()),
        ];
        let body = serde_json::json!({ "text": text }).to_string();
        let path = "/api/v1/files/schedules%2Fjob.toml";
        let put = shown.send_json("PUT", path, &headers, &body);
        assert_eq!(put.status, 200, "{}", put.body);
        assert_eq!(editor.call_with("DELETE", "/tokens/editor", "").status, 204);
    }
    let shown = serving(&place);
    let asker = Person::named(&shown, "asker", "admin");
    let editor = Person::named(&shown, "editor", "admin");
    let other = Person::named(&shown, "other", "admin");
    let asked = asker.call("/jobs/job/runs", r#"{"cycle": "W46"}"#);
    assert_eq!(asked.status, 202, "{}", asked.body);
    let request = asker.ended(&format!("/requests/{}", asked.json()["request"]));
    assert_eq!(request["run"], 2, "a guard stopped it: {request}");
    let look = other.call("/runs/2/approval/looks", "");
    let look = other.ended(&format!("/looks/{}", look.json()["request"]));
    assert!(!look["seen"].is_null(), "{look}");
    let word = format!(
        r#"{{"look": {}, "reason": "as it should be"}}"#,
        look["request"]
    );
    for (person, why) in [
        (&asker, "you asked for it"),
        (&editor, "you changed `schedules/job.toml`"),
    ] {
        let refused = person.call("/runs/2/approval", &word);
        assert_eq!(refused.status, 403, "{}", refused.body);
        assert!(refused.body.contains(why), "{}", refused.body);
        let page = [("Authorization", person.token.as_str())];
        let page = shown
            .get(&format!("/looks/{}", look["request"]), &page)
            .body;
        assert!(
            page.contains("Somebody else is to let it go ahead"),
            "{page}"
        );
        assert!(!page.contains("records be changed"), "{page}");
    }
    assert_eq!(
        place.rows("accounts"),
        "id,score,note,phone\nA1,2,a,\nA2,2,b,\nA3,3,c,\n"
    );
    let approved = other.call("/runs/2/approval", &word);
    assert_eq!(approved.status, 202, "{}", approved.body);
    let request = other.ended(&format!("/requests/{}", approved.json()["request"]));
    assert_eq!(request["message"], "succeeded", "{request}");
    let acts = place.command(&["activity", "--json"]).json();
    let acts = acts["actions"].as_array().unwrap().iter();
    let acts = acts.filter(|act| act["act"] == "approve");
    let results: Vec<_> = acts
        .map(|act| (act["who"].clone(), act["result"] == "done"))
        .collect();
    let expected = [("other", true), ("editor", false), ("asker", false)];
    let expected = expected.map(|(who, done)| (Value::from(who), done));
    assert_eq!(results, expected);
}

#[test]
fn a_stopped_run_that_one_destination_was_absent_from_is_looked_at_as_it_began() {
    let place = place();
    let connections = place.text("writeback.toml");
    let hub = "[connections.hub]\nkind = 'sqlite'\nfile = 'hub.db'\n";
    place.file("writeback.toml", &format!("{connections}{hub}"));
    let job = place.text("schedules/job.toml");
    let (head, _) = job.split_once("destination").expect("a destination");
    let to = |destination: &str| {
        format!(
            "[[write_back.to]]\ndestination = '{destination}'\ntable = 'accounts'\nmax_changed = '40%'\n\
             fields = {{ id = 'id', score = 'score', note = 'note' }}\n"
        )
    };
    let job = format!("{head}\n{}{}", to("hub"), to("crm"));
    place.file("schedules/job.toml", &job);
    place.file(
        "data/scores.csv",
        "id,score,note\nA1,20,a\nA2,20,b\nA3,30,c\n",
    );
    fixture::announce(&place, "W46");
    let stopped = place.run();
    assert_eq!(stopped.code, 3, "a guard stops it: {stopped}");
    place.execute_file(
        "hub.db",
        "CREATE TABLE accounts (id TEXT PRIMARY KEY, score INTEGER, note TEXT)",
    );
    let shown = Shown::page(&place);
    let admin = Person::of(&shown, "admin");
    let (_, look) = admin.look("/runs/2/approve/looks", "key=l1");
    let told = look["told"]["write_backs"].as_array().expect("a list");
    let told: Vec<_> = told
        .iter()
        .map(|one| (&one["name"], &one["updated"]))
        .collect();
    assert_eq!(told, [(&"scores@crm".into(), &3.into())], "{look}");
}

#[test]
fn an_approval_of_what_is_no_longer_so_is_refused_and_writes_nothing() {
    let place = stopped();
    let shown = Shown::page(&place);
    let admin = Person::of(&shown, "admin");
    let (address, _) = admin.look("/runs/2/approve/looks", "key=l1");
    let body = format!("key=a1&look={}&reason=because", number(&address));
    fixture::announce(&place, "W47");
    let stale = admin.post("/runs/2/approval", &body);
    assert_eq!(stale.status, 409, "{}", stale.body);
    assert!(stale.body.contains("W47"), "{}", stale.body);
    assert_eq!(admin.post("/runs/1/approval", &body).status, 409);
    // Of the newer cycle another run waits; the look is at the one before.
    assert_eq!(place.run().code, 3, "a guard stops it");
    let other = admin.post("/runs/2/approval", &body);
    assert_eq!(other.status, 409, "{}", other.body);
    assert_eq!(admin.post("/runs/3/approval", &body).status, 409);
    let asked = place.query_ledger("SELECT count(*) AS n FROM requests WHERE act = 'approve'");
    assert_eq!(asked.as_deref(), Some("n\n0\n"));
    assert!(place.rows("accounts").contains("A1,2,a"));
}

#[test]
fn an_approval_that_waited_is_held_against_what_is_there_by_then() {
    let place = stopped();
    let alone = Shown::page(&place);
    let admin = Person::of(&alone, "admin");
    let (address, _) = admin.look("/runs/2/approve/looks", "key=l1");
    let body = format!("key=a1&look={}&reason=because", number(&address));
    assert_eq!(admin.post("/runs/2/approval", &body).status, 303);
    drop(alone);
    fixture::announce(&place, "W47");
    let shown = serving(&place);
    let request = Person::named(&shown, "second", "admin").ended("/requests/2");
    let message = request["message"].as_str().unwrap();
    assert!(
        message.contains("guards stopped cycle `W46`, not `W47`"),
        "{message}"
    );
    assert!(place.rows("accounts").contains("A1,2,a"));
}

#[test]
fn a_right_is_left_to_operators_where_the_project_says_so() {
    let place = stopped();
    let project = place.text("writeback.toml");
    let wrong = place.file(
        "writeback.toml",
        &format!("{project}[page.rights]\napprove = 'viewer'\nunod = 'operator'\n"),
    );
    let check = wrong.command(&["check"]);
    for part in ["viewers only look", "`unod` is not a key"] {
        assert!(check.stderr.contains(part), "{part} in {check}");
    }
    let rights = "[page.rights]\napprove = 'operator'\n";
    place.file("writeback.toml", &format!("{project}{rights}"));
    let shown = serving(&place);
    let (operator, viewer) = (Person::of(&shown, "operator"), Person::of(&shown, "viewer"));
    assert!(operator.get("/").body.contains("Look and decide"));
    assert!(operator.get("/runs/2").body.contains("/runs/2/approve"));
    assert!(!operator.get("/runs/1").body.contains("/runs/1/undo"));
    assert_eq!(operator.post("/runs/1/undo/looks", "key=x").status, 403);
    assert_eq!(viewer.post("/runs/2/approve/looks", "key=x").status, 403);
    let (address, _) = operator.look("/runs/2/approve/looks", "key=l1");
    assert!(
        operator
            .get(&address)
            .body
            .contains("Let 3 records be changed")
    );
    let body = format!(
        r#"{{"look": {}, "reason": "a new model"}}"#,
        number(&address)
    );
    let asked = operator.call("/runs/2/approval", &body);
    let request = asked
        .header("location")
        .unwrap()
        .trim_start_matches("/api/v1");
    assert_eq!(operator.ended(request)["message"], "succeeded");
    let (preview, _) = operator.look("/jobs/job/previews", "key=p1");
    let page = operator.get(&preview).body;
    assert!(page.contains("Admins may decide here"), "{page}");
}

#[test]
fn what_a_preview_showed_is_what_is_applied() {
    let place = place();
    place.file(
        "data/scores.csv",
        "id,score,note\nA1,20,a\nA2,2,b\nA3,3,c\n",
    );
    fixture::announce(&place, "W46");
    let shown = serving(&place);
    let admin = Person::of(&shown, "admin");
    let (address, look) = admin.look("/jobs/job/previews", "key=l1&write_back=");
    let printed = place.command(&["preview", "job", "--json"]).json();
    for count in ["read", "updated", "unchanged", "samples", "columns"] {
        let (told, printed) = (
            &look["told"]["write_backs"][0][count],
            &printed["write_backs"][0][count],
        );
        assert_eq!(told, printed, "{count}");
    }
    assert!(
        admin
            .get(&address)
            .body
            .contains("Apply exactly this: 1 records"),
        "{}",
        admin.get(&address).body
    );
    // What is in the source by now was not shown.
    place.file(
        "data/scores.csv",
        "id,score,note\nA1,99,a\nA2,99,b\nA3,99,c\n",
    );
    let asked = admin.call(
        &format!("/looks/{}/apply", number(&address)),
        r#"{"reason": "as shown"}"#,
    );
    assert_eq!(asked.status, 202, "{}", asked.body);
    let request = admin.ended(
        asked
            .header("location")
            .unwrap()
            .trim_start_matches("/api/v1"),
    );
    assert_eq!(request["message"], "succeeded", "{request}");
    assert_eq!(
        place.rows("accounts"),
        "id,score,note,phone\nA1,20,a,\nA2,2,b,\nA3,3,c,\n"
    );
    let run = place.command(&["runs", "2", "--json"]).json();
    assert_eq!(run["plan"], look["seen"], "{run}");
}

#[test]
fn a_row_that_changed_since_the_preview_is_left_alone() {
    let place = place();
    place.file(
        "data/scores.csv",
        "id,score,note\nA1,20,a\nA2,2,b\nA3,3,c\n",
    );
    fixture::announce(&place, "W46");
    let shown = serving(&place);
    let admin = Person::of(&shown, "admin");
    let (address, _) = admin.look("/jobs/job/previews", "key=l1&write_back=");
    place.execute("UPDATE accounts SET score = 7 WHERE id = 'A1'");
    let body = format!("key=a1&look={0}&reason=as+shown", number(&address));
    let asked = admin.post(&format!("{address}/apply"), &body);
    admin.ended(asked.header("location").unwrap());
    assert!(place.rows("accounts").contains("A1,7,a"));
    // A file that changed is another plan.
    let job = place.text("schedules/job.toml");
    place.file("schedules/job.toml", &job.replace("40%", "50%"));
    let body = format!("key=a2&look={0}&reason=as+shown", number(&address));
    let moved = admin.post(&format!("{address}/apply"), &body);
    assert_eq!(moved.status, 409, "{}", moved.body);
}

#[test]
fn an_undo_shows_its_three_parts_and_does_just_that() {
    let place = place();
    place.file(
        "data/scores.csv",
        "id,score,note\nA1,20,x\nA2,20,y\nA3,30,z\n",
    );
    fixture::announce(&place, "W46");
    let job = place.text("schedules/job.toml");
    place.file("schedules/job.toml", &job.replace("'40%'", "'100%'"));
    assert_eq!(place.run().summary(), "3 read = 3 updated");
    place.execute("UPDATE accounts SET score = 77 WHERE id = 'A2'");
    place.execute("DELETE FROM accounts WHERE id = 'A3'");
    let shown = serving(&place);
    let admin = Person::of(&shown, "admin");
    let (address, look) = admin.look("/runs/2/undo/looks", "key=l1&write_back=&records=");
    let printed = place.command(&["undo", "2", "--preview", "--json"]).json();
    for count in ["reversed", "changed_since", "could_not"] {
        let (told, printed) = (
            &look["told"]["write_backs"][0][count],
            &printed["write_backs"][0][count],
        );
        assert_eq!((told, told), (printed, &Value::from(1)), "{count}");
    }
    let page = admin.get(&address).body;
    for part in [
        "1 would be reversed",
        "1 would be kept",
        "1 could not be",
        "Take back 1 records",
    ] {
        assert!(page.contains(part), "{part} in {page}");
    }
    let body = format!("key=u1&look={}&reason=wrong+model", number(&address));
    // A row that somebody changes in between makes it another undo.
    place.execute("UPDATE accounts SET score = 5 WHERE id = 'A1'");
    let asked = admin.post("/runs/2/undo", &body);
    let request = admin.ended(asked.header("location").unwrap());
    let message = request["message"].as_str().unwrap();
    assert!(
        message.contains("changed since it was looked at"),
        "{message}"
    );
    place.execute("UPDATE accounts SET score = 20 WHERE id = 'A1'");
    let asked = admin.post("/runs/2/undo", &body.replace("u1", "u2"));
    let request = admin.ended(asked.header("location").unwrap());
    assert_eq!(
        request["message"], "taken back by run 3: succeeded",
        "{request}"
    );
    assert_eq!(
        place.rows("accounts"),
        "id,score,note,phone\nA1,2,a,\nA2,77,y,\n"
    );
}

#[test]
fn a_verification_shows_what_is_no_longer_as_it_was_written() {
    let place = place();
    place.execute("UPDATE accounts SET score = 77 WHERE id = 'A1'");
    let shown = Shown::page(&place);
    let operator = Person::of(&shown, "operator");
    let (address, look) = operator.look("/jobs/job/verifications", "key=v1&write_back=");
    let printed = place.command(&["verify", "job", "--json"]).json();
    assert_eq!(look["told"]["write_backs"], printed["write_backs"]);
    let page = operator.get(&address).body;
    assert!(page.contains("~ drift") && page.contains(">77<"), "{page}");
    let told = &printed["write_backs"][0];
    let overview = operator.get("/").body;
    let words = format!(
        "{} of {} records no longer as written",
        told["drifted"], told["compared"]
    );
    for part in [words.as_str(), "~ drift", &format!("href=\"{address}\"")] {
        assert!(overview.contains(part), "{part} in {overview}");
    }
}

#[test]
fn who_may_not_decide_sees_no_button_and_is_refused() {
    let place = stopped();
    let shown = Shown::page(&place);
    let (operator, viewer) = (Person::of(&shown, "operator"), Person::of(&shown, "viewer"));
    for person in [&operator, &viewer] {
        assert!(!person.get("/runs/2").body.contains("/runs/2/approve"));
        assert!(!person.get("/runs/1").body.contains("/runs/1/undo"));
        for path in ["/runs/2/approve/looks", "/runs/1/undo/looks"] {
            assert_eq!(person.post(path, "key=x").status, 403, "{path}");
        }
        for path in ["/runs/2/approval", "/runs/1/undo", "/looks/1/apply"] {
            assert_eq!(
                person.post(path, "key=x&look=1&reason=x").status,
                403,
                "{path}"
            );
            let body = r#"{"look": 1, "reason": "x"}"#;
            assert_eq!(person.call(path, body).status, 403, "{path}");
        }
    }
    assert_eq!(viewer.post("/jobs/job/previews", "key=x").status, 403);
    let (address, _) = operator.look("/jobs/job/previews", "key=p1");
    assert!(
        operator
            .get(&address)
            .body
            .contains("Admins may decide here")
    );
    assert_eq!(viewer.get(&address).status, 403);
}
