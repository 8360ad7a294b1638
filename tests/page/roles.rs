//! Every route and the least role that may take it, written down once more: a route that is not in
//! the table, or lets somebody else through, is found.

use crate::fixture;
use crate::shown::{OWN, Shown};

/// Method, route, least role.
pub(crate) const TABLE: &[(&str, &str, &str)] = &[
    ("GET", "/", "viewer"),
    ("GET", "/jobs/{job}", "viewer"),
    ("GET", "/jobs/{job}/{write_back}", "viewer"),
    ("GET", "/jobs/{job}/{write_back}/records", "viewer"),
    ("GET", "/jobs/{job}/{write_back}/records/{key}", "viewer"),
    ("GET", "/agencies", "viewer"),
    ("GET", "/settings/{job}", "viewer"),
    ("GET", "/runs", "viewer"),
    ("GET", "/runs.csv", "viewer"),
    ("GET", "/runs/{run}", "viewer"),
    ("GET", "/runs/{run}/{write_back}/rejected", "viewer"),
    ("GET", "/runs/{run}/{write_back}/rejected.csv", "viewer"),
    ("GET", "/dashboards/{dashboard}", "viewer"),
    ("GET", "/methods", "viewer"),
    ("GET", "/requests/{request}", "viewer"),
    ("GET", "/events", "viewer"),
    ("GET", "/account", "viewer"),
    ("GET", "/activity", "viewer"),
    ("GET", "/problems", "viewer"),
    ("GET", "/files/{*file}", "viewer"),
    ("POST", "/zone", "viewer"),
    ("POST", "/keys", "viewer"),
    ("POST", "/sessions/{session}/end", "viewer"),
    (
        "GET",
        "/settings/{job}/questions?write_back=none",
        "operator",
    ),
    ("GET", "/jobs/{job}/run", "operator"),
    ("POST", "/jobs/{job}/runs", "operator"),
    ("GET", "/runs/{run}/stop", "operator"),
    ("POST", "/runs/{run}/stop", "operator"),
    ("POST", "/jobs/{job}/previews", "operator"),
    ("POST", "/jobs/{job}/verifications", "operator"),
    ("GET", "/looks/{look}", "operator"),
    ("GET", "/runs/{run}/{write_back}/chosen", "operator"),
    ("POST", "/runs/{run}/{write_back}/retry", "operator"),
    ("POST", "/runs/{run}/{write_back}/park", "operator"),
    ("POST", "/jobs/{job}/retries", "operator"),
    (
        "POST",
        "/jobs/{job}/{write_back}/records/{key}/park",
        "operator",
    ),
    (
        "POST",
        "/jobs/{job}/{write_back}/records/{key}/lift",
        "operator",
    ),
    (
        "POST",
        "/jobs/{job}/{write_back}/records/{key}/test",
        "operator",
    ),
    ("POST", "/dashboards/{dashboard}/cycles", "operator"),
    ("POST", "/jobs/{job}/pause", "operator"),
    ("POST", "/jobs/{job}/resume", "operator"),
    ("GET", "/runs/{run}/approve", "admin"),
    ("POST", "/runs/{run}/approve/looks", "admin"),
    ("POST", "/runs/{run}/approval", "admin"),
    ("GET", "/runs/{run}/undo", "admin"),
    ("POST", "/runs/{run}/undo", "admin"),
    ("POST", "/runs/{run}/undo/looks", "admin"),
    ("POST", "/looks/{look}/apply", "admin"),
    ("GET", "/edit/{*file}", "admin"),
    ("POST", "/edit/{*file}", "admin"),
    ("GET", "/jobs/{job}/{write_back}/switch", "admin"),
    (
        "GET",
        "/settings/{job}/change?write_back=none&what=enabled",
        "admin",
    ),
    ("GET", "/people", "admin"),
    ("POST", "/people", "admin"),
    ("POST", "/people/{name}/remove", "admin"),
    ("GET", "/tokens", "admin"),
    ("POST", "/tokens", "admin"),
    ("POST", "/tokens/{name}/remove", "admin"),
    ("GET", "/api/v1/people", "admin"),
    ("POST", "/api/v1/people", "admin"),
    ("DELETE", "/api/v1/people/{name}", "admin"),
    ("GET", "/api/v1/tokens", "admin"),
    ("POST", "/api/v1/tokens", "admin"),
    ("DELETE", "/api/v1/tokens/{name}", "admin"),
    ("DELETE", "/api/v1/sessions/{session}", "viewer"),
    ("GET", "/api/v1/jobs/{job}/questions", "operator"),
    ("GET", "/api/v1/files/{file}", "admin"),
    ("PUT", "/api/v1/files/{file}", "admin"),
    ("POST", "/api/v1/jobs/{job}/runs", "operator"),
    ("POST", "/api/v1/runs/{run}/stop", "operator"),
    ("POST", "/api/v1/jobs/{job}/previews", "operator"),
    ("POST", "/api/v1/jobs/{job}/verifications", "operator"),
    ("POST", "/api/v1/jobs/{job}/retries", "operator"),
    (
        "PUT",
        "/api/v1/jobs/{job}/{write_back}/parked/{key}",
        "operator",
    ),
    (
        "DELETE",
        "/api/v1/jobs/{job}/{write_back}/parked/{key}",
        "operator",
    ),
    ("POST", "/api/v1/runs/{run}/{write_back}/parked", "operator"),
    (
        "POST",
        "/api/v1/jobs/{job}/{write_back}/records/{key}/tests",
        "operator",
    ),
    ("POST", "/api/v1/dashboards/{dashboard}/cycles", "operator"),
    ("PUT", "/api/v1/jobs/{job}/pause", "operator"),
    ("DELETE", "/api/v1/jobs/{job}/pause", "operator"),
    ("GET", "/api/v1/looks/{look}", "operator"),
    ("POST", "/api/v1/runs/{run}/approval/looks", "admin"),
    ("POST", "/api/v1/runs/{run}/approval", "admin"),
    ("POST", "/api/v1/runs/{run}/undo/looks", "admin"),
    ("POST", "/api/v1/runs/{run}/undo", "admin"),
    ("POST", "/api/v1/looks/{look}/apply", "admin"),
];

const ROLES: [&str; 3] = ["viewer", "operator", "admin"];

/// An address of a route where nothing is: whoever may take it is told so, and nothing is done.
fn nowhere(route: &str) -> String {
    let values = [
        ("{job}", "none"),
        ("{write_back}", "none"),
        ("{key}", "none"),
        ("{run}", "9999"),
        ("{look}", "9999"),
        ("{request}", "9999"),
        ("{session}", "9999"),
        ("{dashboard}", "none"),
        ("{name}", "none"),
        ("{*file}", "none"),
        ("{file}", "none"),
    ];
    values
        .into_iter()
        .fold(route.to_owned(), |path, (name, value)| {
            path.replace(name, value)
        })
}

#[test]
fn every_route_lets_through_whom_the_table_says_and_nobody_else() {
    let place = fixture::place();
    let project = place.text("writeback.toml");
    place.file("writeback.toml", &format!("{project}[page]\nedit = true\n"));
    let shown = Shown::page(&place);
    let cookies = ROLES.map(|role| shown.cookie(role));
    for (method, route, least) in TABLE {
        let path = nowhere(route);
        let unknown = shown.send(method, &path, &[OWN], "");
        assert!(
            [303, 401].contains(&unknown.status),
            "{method} {path}: {}",
            unknown.status
        );
        let least = ROLES.iter().position(|role| role == least).unwrap();
        for (position, cookie) in cookies.iter().enumerate() {
            let answer = shown.send(method, &path, &[OWN, ("Cookie", cookie)], "");
            let role = ROLES[position];
            assert_ne!(answer.status, 401, "{method} {path} as {role}");
            assert!(
                answer.status < 500,
                "{method} {path} as {role}: {}",
                answer.body
            );
            assert_eq!(
                answer.status == 403,
                position < least,
                "{method} {path} as {role}: {}",
                answer.body
            );
        }
    }
}

#[test]
fn every_route_of_the_page_and_of_the_api_is_in_the_table() {
    let source = include_str!("../../src/page/mod.rs");
    let open = [
        "/login",
        "/enter/{code}",
        "/assets/{name}",
        "/favicon.ico",
        "/logout",
    ];
    let mut routes = 0;
    for part in source.split(".route(").skip(1) {
        let route = part.split('"').nth(1).unwrap();
        routes += 1;
        let path = |known: &'static str| known.split('?').next();
        let known = TABLE.iter().any(|(_, known, _)| path(known) == Some(route));
        assert!(
            known || open.contains(&route),
            "{route} is not in the table"
        );
    }
    assert!(routes > 40, "{routes}");
    let place = fixture::place();
    let described = place.command(&["page", "openapi"]).json();
    for (path, methods) in described["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            let method = method.to_uppercase();
            let known = |(known, route, _): &&(&str, &str, &str)| *known == method && route == path;
            // Looks of the API are all for viewers, but for what shows values.
            assert!(
                method == "GET" || TABLE.iter().any(|row| known(&row)),
                "{method} {path}"
            );
        }
    }
}

/// What can be done on the page, and its call: each has the other.
#[test]
fn every_act_of_the_page_has_a_call_and_the_reverse() {
    let pairs = [
        ("/jobs/{job}/runs", "POST /jobs/{job}/runs"),
        ("/runs/{run}/stop", "POST /runs/{run}/stop"),
        ("/jobs/{job}/previews", "POST /jobs/{job}/previews"),
        (
            "/jobs/{job}/verifications",
            "POST /jobs/{job}/verifications",
        ),
        ("/jobs/{job}/retries", "POST /jobs/{job}/retries"),
        ("/runs/{run}/{write_back}/retry", "POST /jobs/{job}/retries"),
        (
            "/runs/{run}/{write_back}/park",
            "POST /runs/{run}/{write_back}/parked",
        ),
        (
            "/jobs/{job}/{write_back}/records/{key}/park",
            "PUT /jobs/{job}/{write_back}/parked/{key}",
        ),
        (
            "/jobs/{job}/{write_back}/records/{key}/lift",
            "DELETE /jobs/{job}/{write_back}/parked/{key}",
        ),
        (
            "/jobs/{job}/{write_back}/records/{key}/test",
            "POST /jobs/{job}/{write_back}/records/{key}/tests",
        ),
        (
            "/dashboards/{dashboard}/cycles",
            "POST /dashboards/{dashboard}/cycles",
        ),
        ("/jobs/{job}/pause", "PUT /jobs/{job}/pause"),
        ("/jobs/{job}/resume", "DELETE /jobs/{job}/pause"),
        (
            "/runs/{run}/approve/looks",
            "POST /runs/{run}/approval/looks",
        ),
        ("/runs/{run}/approval", "POST /runs/{run}/approval"),
        ("/runs/{run}/undo/looks", "POST /runs/{run}/undo/looks"),
        ("/runs/{run}/undo", "POST /runs/{run}/undo"),
        ("/looks/{look}/apply", "POST /looks/{look}/apply"),
        ("/edit/{*file}", "PUT /files/{file}"),
        ("/people", "POST /people"),
        ("/people/{name}/remove", "DELETE /people/{name}"),
        ("/tokens", "POST /tokens"),
        ("/tokens/{name}/remove", "DELETE /tokens/{name}"),
        ("/sessions/{session}/end", "DELETE /sessions/{session}"),
    ];
    let own = ["/zone", "/keys"];
    for (method, route, _) in TABLE {
        match route.strip_prefix("/api/v1") {
            None => assert!(
                *method == "GET"
                    || own.contains(route)
                    || pairs.iter().any(|(page, _)| page == route),
                "{method} {route} has no call"
            ),
            Some(path) => assert!(
                *method == "GET"
                    || pairs
                        .iter()
                        .any(|(_, call)| *call == format!("{method} {path}")),
                "{method} {path} has no act on the page"
            ),
        }
    }
}
