//! Who gets in, and from where: nobody unasked, and no other site.

use std::time::Duration;

use crate::fixture;
use crate::harness::{Server, Workspace};
use crate::shown::{OWN, Shown};

fn place() -> Workspace {
    Workspace::accounts(
        Server::Sqlite,
        "id,score,note,phone\nA1,0,,\n",
        "id,score,note\nA1,1,\n",
    )
}

/// Pages that somebody must be signed in for.
const LOOKS: [&str; 5] = [
    "/",
    "/account",
    "/activity",
    "/problems",
    "/files/writeback.toml",
];

/// What programs may ask for.
const API_LOOKS: [&str; 4] = [
    "/api/v1/session",
    "/api/v1/actions",
    "/api/v1/problems",
    "/api/v1/openapi.json",
];

#[test]
fn nobody_sees_anything_before_signing_in() {
    let place = place();
    let shown = Shown::page(&place);
    for path in LOOKS {
        let answer = shown.get(path, &[]);
        assert_eq!(answer.status, 303, "{path}");
        let to = answer.header("location").unwrap();
        assert!(to.starts_with("/login?next=%2F"), "{path} leads to {to}");
        assert_eq!(answer.body, "", "{path}");
    }
    for path in API_LOOKS.into_iter().chain(["/api/v1/nothing", "/nothing"]) {
        let answer = shown.get(path, &[]);
        assert_eq!(
            answer.status,
            if path == "/nothing" { 303 } else { 401 },
            "{path}"
        );
    }
    assert_eq!(shown.send("POST", "/zone", &[OWN], "zone=UTC").status, 401);
    let sign_in = shown.get("/login", &[]);
    assert_eq!(sign_in.status, 200);
    for asset in sign_in
        .body
        .split('"')
        .filter(|part| part.starts_with("/assets/"))
    {
        let asset = shown.get(asset, &[]);
        assert_eq!(asset.status, 200);
        assert!(asset.header("cache-control").unwrap().contains("immutable"));
    }
    assert!(sign_in.body.contains("/assets/page."));
}

#[test]
fn serve_shows_no_page_unless_asked_to() {
    let place = place();
    let job = place.text("schedules/job.toml");
    let project = place.text("writeback.toml");
    place
        .file(
            "schedules/job.toml",
            &format!("[cadence]\ndashboard = 'd'\n\n{job}"),
        )
        .file(
            "writeback.toml",
            &format!("{project}[dashboards.d]\nannounced = true\n"),
        );
    let mut serving = place.serve(&["--listen", "127.0.0.1:0"]);
    serving.wait_for_log("serving");
    assert!(
        !serving.log().contains("showing the page"),
        "{}",
        serving.log()
    );
    serving.stop();
    let shown = Shown::start(&place, &["serve", "--page", "127.0.0.1:0"]);
    let cookie = shown.cookie("viewer");
    assert_eq!(shown.get("/", &[("Cookie", &cookie)]).status, 200);
    assert_eq!(shown.get("/metrics", &[("Cookie", &cookie)]).status, 404);
}

#[test]
fn an_address_that_others_reach_is_refused_until_people_and_tls_are_there() {
    let place = place();
    let refused = place.command(&["page", "--at", "0.0.0.0:0"]);
    assert_eq!(refused.code, 2, "{refused}");
    assert!(refused.stderr.contains("nobody could sign in"), "{refused}");
    assert!(
        refused.stderr.contains("writeback page user add NAME"),
        "{refused}"
    );
    add_user(&place, "ada", "operator");
    let refused = place.command(&["page", "--at", "0.0.0.0:0"]);
    assert!(refused.stderr.contains("without TLS"), "{refused}");
    assert!(refused.stderr.contains("url = \"https://…\""), "{refused}");
}

const LONG_PASSWORD: &str = "correct horse battery staple";

fn add_user(place: &Workspace, name: &str, role: &str) {
    place.file("password.txt", LONG_PASSWORD);
    let added = assert_cmd::Command::new(env!("CARGO_BIN_EXE_writeback"))
        .args(["page", "user", "add", name, "--role", role])
        .current_dir(place.path(""))
        .write_stdin(LONG_PASSWORD)
        .timeout(Duration::from_secs(60))
        .output()
        .unwrap();
    assert!(added.status.success(), "{added:?}");
    std::fs::remove_file(place.path("password.txt")).unwrap();
}

#[test]
fn the_page_answers_to_its_own_names_only() {
    let place = place();
    let shown = Shown::page(&place);
    let cookie = shown.cookie("admin");
    let port = shown.host.rsplit_once(':').unwrap().1;
    let own = [
        format!("localhost:{port}"),
        format!("[::1]:{port}"),
        shown.host.clone(),
    ];
    for host in &own {
        let answer = shown.get("/", &[("Host", host), ("Cookie", &cookie)]);
        assert_eq!(answer.status, 200, "{host}");
    }
    let others = [
        format!("127.0.0.1.evil.com:{port}"),
        "127.0.0.1.evil.com".to_owned(),
        "localhost:1".to_owned(),
        "localhost".to_owned(),
        format!("evil.com:{port}"),
        String::new(),
    ];
    for host in &others {
        for path in LOOKS
            .into_iter()
            .chain(API_LOOKS)
            .chain(["/login", "/favicon.ico"])
        {
            let answer = shown.get(path, &[("Host", host), ("Cookie", &cookie)]);
            assert_eq!(answer.status, 421, "{host} {path}");
        }
    }
    let target = format!("http://evil.com{}", "/account");
    assert_eq!(shown.get(&target, &[("Cookie", &cookie)]).status, 421);
}

#[test]
fn no_other_site_can_press_a_button() {
    let place = place();
    let shown = Shown::page(&place);
    let cookie = shown.cookie("admin");
    let token = shown.token("robot", "admin", &[]);
    let post = |headers: &[(&str, &str)]| shown.send("POST", "/zone", headers, "zone=UTC").status;
    let port = shown.host.rsplit_once(':').unwrap().1;
    let (own, other) = (
        format!("http://{}", shown.host),
        format!("http://127.0.0.1:1{port}"),
    );
    let cookie = ("Cookie", cookie.as_str());
    let done = [
        vec![cookie, OWN],
        vec![cookie, ("Origin", own.as_str())],
        vec![("Authorization", token.as_str())],
    ];
    for headers in done {
        assert_eq!(post(&headers), 303, "{headers:?}");
    }
    let refused = [
        vec![cookie],
        vec![cookie, ("Sec-Fetch-Site", "cross-site")],
        vec![cookie, ("Sec-Fetch-Site", "same-site")],
        vec![cookie, ("Origin", other.as_str())],
        vec![cookie, ("Origin", "null")],
        vec![cookie, ("Origin", "https://evil.com")],
    ];
    for headers in refused {
        assert_eq!(post(&headers), 403, "{headers:?}");
    }
    let fetched = [
        cookie,
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Mode", "no-cors"),
    ];
    assert_eq!(shown.get("/activity", &fetched).status, 403);
    let followed = [
        cookie,
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Mode", "navigate"),
    ];
    assert_eq!(shown.get("/activity", &followed).status, 200);
}

#[test]
fn every_answer_forbids_what_the_page_does_not_need() {
    let place = place();
    let shown = Shown::page(&place);
    let cookie = shown.cookie("viewer");
    for path in LOOKS.into_iter().chain(API_LOOKS).chain([
        "/login",
        "/nothing",
        "/favicon.ico",
        "/enter/x",
        "/runs/x",
    ]) {
        for headers in [
            &[("Cookie", cookie.as_str())][..],
            &[],
            &[("Host", "evil.com")],
        ] {
            let answer = shown.get(path, headers);
            let policy = answer.header("content-security-policy").unwrap();
            assert!(
                policy.starts_with("default-src 'none'; script-src 'self';"),
                "{path}"
            );
            assert!(
                policy.contains("require-trusted-types-for 'script'"),
                "{path}"
            );
            assert_eq!(answer.header("x-frame-options"), Some("DENY"), "{path}");
            assert_eq!(
                answer.header("x-content-type-options"),
                Some("nosniff"),
                "{path}"
            );
        }
    }
}

#[test]
fn a_link_lets_one_person_in_once_and_looking_at_it_uses_nothing_up() {
    let place = place();
    let shown = Shown::page(&place);
    let link = shown.link("operator");
    for _ in 0..3 {
        assert_eq!(shown.get(&link, &[]).status, 200);
    }
    let entered = shown.send("POST", &link, &[OWN], "");
    assert_eq!(entered.status, 303);
    let set = entered.header("set-cookie").unwrap();
    assert!(
        set.contains("; HttpOnly; SameSite=Lax") && !set.contains("Secure"),
        "{set}"
    );
    let session = shown
        .get("/api/v1/session", &[("Cookie", &entered.cookie())])
        .json();
    assert_eq!(session["role"], "operator");
    let again = shown.send("POST", &link, &[OWN], "");
    assert_eq!(again.status, 403);
    assert!(again.body.contains("used already"), "{}", again.body);
    assert_eq!(
        shown.send("POST", "/enter/nonsense", &[OWN], "").status,
        403
    );
}

#[test]
fn signing_out_ends_a_session_at_once_and_so_does_the_command() {
    let place = place();
    let shown = Shown::page(&place);
    let status = |cookie: &str| shown.get("/account", &[("Cookie", cookie)]).status;
    let (one, two) = (shown.cookie("viewer"), shown.cookie("admin"));
    assert_eq!((status(&one), status(&two)), (200, 200));
    assert_eq!(
        shown
            .send("POST", "/logout", &[OWN, ("Cookie", &one)], "")
            .status,
        303
    );
    assert_eq!((status(&one), status(&two)), (303, 200));
    let listed = place.command(&["page", "session", "list"]);
    let number = listed
        .stdout
        .lines()
        .last()
        .unwrap()
        .split_whitespace()
        .next()
        .unwrap();
    assert_eq!(place.command(&["page", "session", "end", number]).code, 0);
    assert_eq!(status(&two), 303);
}

#[test]
fn a_password_lets_in_and_guessing_it_takes_ever_longer() {
    let place = place();
    add_user(&place, "ada", "operator");
    let shown = Shown::page(&place);
    let login = |name: &str, password: &str| {
        let body = format!("name={name}&password={password}&next=%2Faccount");
        shown.send("POST", "/login", &[OWN], &body)
    };
    let right = LONG_PASSWORD.replace(' ', "+");
    let entered = login("ada", &right);
    assert_eq!(
        (entered.status, entered.header("location")),
        (303, Some("/account"))
    );
    let cookie = entered.cookie();
    assert_ne!(
        login("ada", &right).cookie(),
        cookie,
        "every session is new"
    );
    for attempt in 1..=5 {
        let wrong = login("ada", "wrong");
        assert_eq!(wrong.status, 401, "attempt {attempt}");
        assert!(
            wrong.body.contains("do not belong together"),
            "{}",
            wrong.body
        );
        assert!(wrong.header("set-cookie").is_none());
    }
    let closed = login("ada", &right);
    assert_eq!(closed.status, 429, "the sixth waits, right or wrong");
    assert!(
        closed
            .header("retry-after")
            .unwrap()
            .parse::<u32>()
            .unwrap()
            > 20
    );
    // An unknown name is answered in the same words as a wrong password.
    let unknown = login("nobody", "wrong");
    assert_eq!(unknown.status, 401);
    assert!(unknown.body.contains("do not belong together"));
    // The session that was open stays, until the person is let in no more.
    assert_eq!(shown.get("/account", &[("Cookie", &cookie)]).status, 200);
    assert_eq!(place.command(&["page", "user", "remove", "ada"]).code, 0);
    assert_eq!(shown.get("/account", &[("Cookie", &cookie)]).status, 303);
}

#[test]
fn a_token_is_good_until_it_expires_and_only_its_digest_is_kept() {
    let place = place();
    let shown = Shown::page(&place);
    let ask = |token: &str| shown.get("/api/v1/session", &[("Authorization", token)]);
    let token = shown.token("airflow", "operator", &["--job", "job"]);
    let session = ask(&token).json();
    assert_eq!(
        (&session["role"], &session["job"]),
        (&"operator".into(), &"job".into())
    );
    let brief = shown.token("brief", "viewer", &["--expires", "0s"]);
    for bad in [brief.as_str(), "Bearer wb_00", "Bearer", "Basic eDp4", ""] {
        let answer = ask(bad);
        assert_eq!(answer.status, 401, "{bad}");
        assert_eq!(
            answer.header("content-type"),
            Some("application/problem+json")
        );
        assert_eq!(answer.json()["status"], 401);
    }
    let secret = token.trim_start_matches("Bearer ");
    for (file, bytes) in place.state() {
        let found = bytes
            .windows(secret.len())
            .any(|window| window == secret.as_bytes());
        assert!(!found, "the token stands in {}", file.display());
    }
    assert_eq!(
        place.command(&["page", "token", "remove", "airflow"]).code,
        0
    );
    assert_eq!(ask(&token).status, 401);
    let unknown = place.command(&[
        "page", "token", "add", "x", "--role", "viewer", "--job", "none",
    ]);
    assert_eq!(unknown.code, 2, "{unknown}");
}

#[test]
fn acts_are_written_down_looks_are_not_and_an_altered_row_is_found() {
    let place = place();
    let shown = Shown::page(&place);
    let cookie = shown.cookie("operator");
    let acts = || {
        let listed = place.command(&["activity", "--json"]).json();
        let acts = listed["actions"].as_array().unwrap().clone();
        acts.iter()
            .rev()
            .map(|act| {
                format!(
                    "{} through {}",
                    act["act"].as_str().unwrap(),
                    act["through"].as_str().unwrap()
                )
            })
            .collect::<Vec<_>>()
    };
    for path in LOOKS.into_iter().chain(API_LOOKS) {
        shown.get(path, &[("Cookie", &cookie)]);
    }
    shown.send("POST", "/enter/wrong", &[OWN], "");
    shown.send("POST", "/logout", &[OWN, ("Cookie", &cookie)], "");
    let expected = [
        "make link through cli",
        "sign in through link",
        "sign in through link",
        "sign out through page",
    ];
    assert_eq!(acts(), expected);
    let cookie = shown.cookie("viewer");
    let token = shown.token("robot", "viewer", &[]);
    for (query, options, expected) in [
        ("act=sign+in", &["--act", "sign in"][..], 3),
        (
            "act=sign+in&who=nobody",
            &["--act", "sign in", "--who", "nobody"],
            0,
        ),
        ("target=rob", &["--target", "rob"], 1),
        ("target=r_b", &["--target", "r_b"], 0),
    ] {
        let mut command = vec!["activity", "--json"];
        command.extend(options);
        let told = place.command(&command).json();
        assert_eq!(
            told["actions"].as_array().unwrap().len(),
            expected,
            "{told}"
        );
        let api = format!("/api/v1/actions?{query}");
        let told = shown.get(&api, &[("Authorization", &token)]).json();
        assert_eq!(told["items"].as_array().unwrap().len(), expected, "{told}");
        let page = shown.get(&format!("/activity?{query}"), &[("Cookie", &cookie)]);
        let rows = page.body.matches("<th scope=\"row\">").count();
        assert_eq!(rows, expected, "{query}: {}", page.body);
    }
    let page = shown.get("/activity?result=refused", &[("Cookie", &cookie)]);
    assert!(!page.body.contains("✓ done"), "{}", page.body);
    let whole = place.command(&["activity", "--verify"]);
    assert_eq!(
        (whole.code, whole.stdout.as_str()),
        (0, "7 acts, as they were written\n")
    );
    drop(shown);
    place.execute_file(
        ".writeback/ledger.db",
        "UPDATE actions SET who = 'eve' WHERE action = 2",
    );
    let broken = place.command(&["activity", "--verify"]);
    assert_eq!(broken.code, 2, "{broken}");
    assert!(
        broken.stderr.contains("act 2 was altered or taken out"),
        "{broken}"
    );
}

/// What is answered over a socket in the file system.
fn over_socket(socket: &std::path::Path, path: &str, headers: &str) -> String {
    use std::io::{Read as _, Write as _};
    let mut stream = std::os::unix::net::UnixStream::connect(socket).unwrap();
    let head =
        format!("GET {path} HTTP/1.1\r\nHost: writeback.example.com\r\nConnection: close\r\n");
    stream
        .write_all(format!("{head}{headers}\r\n").as_bytes())
        .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn a_proxy_says_who_asks_over_a_socket_and_nowhere_else() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = fixture::place();
    let socket = place.path("page.sock");
    let at = format!("unix:{}", socket.display());
    let alone = place.command(&["page", "--at", &at]);
    assert_eq!(alone.code, 2, "{alone}");
    assert!(alone.stderr.contains("[page.proxy]"), "{alone}");
    let project = place.text("writeback.toml");
    let proxy = "[page]\nurl = 'https://writeback.example.com'\n[page.proxy]\nuser = 'X-Forwarded-User'\n\
                 groups = 'X-Forwarded-Groups'\nroles = { crm-ops = 'operator', boss = 'admin' }\n";
    place.file("writeback.toml", &format!("{project}{proxy}"));
    let mut child = place.start(&["page", "--at", &at]);
    place.wait_until("the socket", |_| {
        std::os::unix::net::UnixStream::connect(&socket).is_ok()
    });
    let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    let named = "X-Forwarded-User: ada\r\nX-Forwarded-Groups: sales, crm-ops\r\n";
    let page = over_socket(&socket, "/account", named);
    assert!(
        page.starts_with("HTTP/1.1 200") && page.contains("ada · operator"),
        "{page}"
    );
    let session = over_socket(&socket, "/api/v1/session", named);
    assert!(session.contains("\"role\":\"operator\""), "{session}");
    let stranger = "X-Forwarded-User: eve\r\nX-Forwarded-Groups: sales\r\n";
    assert!(over_socket(&socket, "/", stranger).starts_with("HTTP/1.1 403"));
    assert!(over_socket(&socket, "/", "").starts_with("HTTP/1.1 303"));
    child.kill().unwrap();
    child.wait().unwrap();
    let shown = Shown::page_behind(&place);
    let headers = [("X-Forwarded-User", "ada"), ("X-Forwarded-Groups", "boss")];
    assert_eq!(shown.get("/api/v1/session", &headers).status, 401);
}
