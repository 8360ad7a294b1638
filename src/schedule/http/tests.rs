#![expect(clippy::unwrap_used, reason = "tests may")]

use std::future::pending;
use std::net::{IpAddr, Ipv4Addr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::super::metrics::tests::Exposition;
use super::super::serve_state::Phase;
use super::*;

/// Within which anything that is answered at all is answered, on a machine busy with other tests.
const DEADLINE: Duration = Duration::from_secs(60);

const LOCAL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

async fn listening(state: &Arc<ServeState>) -> SocketAddr {
    listen(LOCAL, Arc::clone(state), pending()).await.unwrap()
}

async fn connected(address: SocketAddr) -> TcpStream {
    timeout(DEADLINE, TcpStream::connect(address))
        .await
        .expect("in time")
        .unwrap()
}

/// What is said until the other side closes; it may close with a reset when it has not read
/// everything.
async fn heard(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    let reading = async {
        let mut piece = [0; 4096];
        while let Ok(bytes @ 1..) = stream.read(&mut piece).await {
            answer.extend(piece.iter().take(bytes));
        }
    };
    timeout(DEADLINE, reading)
        .await
        .expect("it is closed in time");
    String::from_utf8_lossy(&answer).into_owned()
}

/// Sends these bytes and returns the whole answer.
async fn exchanged(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = connected(address).await;
    // The other side may have heard enough before everything is sent.
    drop(
        timeout(DEADLINE, stream.write_all(request))
            .await
            .expect("in time"),
    );
    heard(stream).await
}

/// Status and body of the answer to a request without a body.
async fn asked(address: SocketAddr, method: &str, path: &str) -> (u16, String) {
    let answer = exchanged(
        address,
        format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes(),
    )
    .await;
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    (status.expect("a status"), body.to_owned())
}

#[tokio::test]
async fn a_process_is_alive_while_it_turns_and_ready_while_it_serves() {
    let state = Arc::new(ServeState::new());
    let address = listening(&state).await;
    let phases = [
        (Phase::Starting, 503, "starting\n"),
        (
            Phase::StandingBy {
                by: "process 7".to_owned(),
            },
            503,
            "standing by: process 7 serves this project\n",
        ),
        (Phase::Serving, 200, "ok\n"),
        (Phase::Stopping, 503, "stopping\n"),
    ];
    for (phase, status, body) in phases {
        state.turned();
        state.phase(phase);
        assert_eq!(
            asked(address, "GET", "/readyz").await,
            (status, body.to_owned())
        );
        assert_eq!(
            asked(address, "GET", "/healthz").await,
            (200, "ok\n".to_owned())
        );
    }
}

#[tokio::test]
async fn metrics_are_announced_as_what_they_are() {
    let state = Arc::new(ServeState::new());
    let address = listening(&state).await;
    let answer = exchanged(address, b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    let kind = "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert!(
        head.contains(kind) && head.contains("connection: close"),
        "{head}"
    );
    assert_eq!(
        Exposition::read(body).value("writeback_serving", &[]),
        Some(0.0)
    );
}

#[tokio::test]
async fn nothing_else_is_there_and_nothing_can_be_sent() {
    let address = listening(&Arc::new(ServeState::new())).await;
    for path in [
        "/",
        "/health",
        "/metrics/",
        "/healthz/../metrics",
        "/%2e%2e/etc/passwd",
        "/METRICS",
    ] {
        assert_eq!(
            asked(address, "GET", path).await,
            (404, String::new()),
            "{path}"
        );
    }
    for method in [
        "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "NONSENSE",
    ] {
        for path in ["/healthz", "/readyz", "/metrics"] {
            assert_eq!(
                asked(address, method, path).await,
                (405, String::new()),
                "{method} {path}"
            );
        }
    }
    let (status, body) = asked(address, "HEAD", "/metrics").await;
    assert_eq!((status, body.as_str()), (200, ""));
}

#[tokio::test]
async fn garbage_is_refused_and_the_next_request_answered() {
    let state = Arc::new(ServeState::new());
    let address = listening(&state).await;
    let long_path = format!(
        "GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "a".repeat(1 << 20)
    );
    let many_headers = format!(
        "GET /healthz HTTP/1.1\r\n{}\r\n",
        "X-Header: value\r\n".repeat(1 << 16)
    );
    let long_body = format!(
        "GET /healthz HTTP/1.1\r\nContent-Length: 1048576\r\n\r\n{}",
        "b".repeat(1 << 20)
    );
    let garbage: [&[u8]; 9] = [
        b"\r\n\r\n\r\n",
        b"\0\0\0\0\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /healthz HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        long_path.as_bytes(),
        many_headers.as_bytes(),
        &[0xff; 1 << 16],
    ];
    for request in garbage {
        let answer = exchanged(address, request).await;
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
            "{answer}"
        );
        assert_eq!(asked(address, "GET", "/healthz").await.0, 200);
    }
    // Whether HTTP/2 is spoken is decided by what other crates ask of the HTTP library; it ends all
    // the same.
    exchanged(address, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nnonsense").await;
    let answer = exchanged(address, long_body.as_bytes()).await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 200"),
        "{answer}"
    );
    assert_eq!(asked(address, "GET", "/healthz").await.0, 200);
}

#[tokio::test]
async fn whoever_says_nothing_or_speaks_slowly_is_cut_off() {
    let address = listening(&Arc::new(ServeState::new())).await;
    let mut slow = connected(address).await;
    let dripping = async {
        // A closed connection refuses what is sent sooner or later.
        while slow.write_all(b"X").await.is_ok() {
            sleep(Duration::from_millis(100)).await;
        }
    };
    let silent = heard(connected(address).await);
    let ((), heard) = timeout(DEADLINE, async { tokio::join!(dripping, silent) })
        .await
        .expect("both are closed in time");
    assert_eq!(heard, "");
}

#[tokio::test]
async fn a_thousand_idle_connections_keep_nobody_from_being_answered() {
    let address = listening(&Arc::new(ServeState::new())).await;
    let mut idle = Vec::new();
    for _ in 0..1_000 {
        let mut stream = connected(address).await;
        stream
            .write_all(b"GET /healthz HTTP/1.1\r\n")
            .await
            .unwrap();
        idle.push(stream);
    }
    assert_eq!(
        asked(address, "GET", "/healthz").await,
        (200, "ok\n".to_owned())
    );
    drop(idle);
}

#[tokio::test]
async fn it_stops_answering_when_it_is_asked_to() {
    let (stop, stopped) = oneshot::channel::<()>();
    let stopped = async move { drop(stopped.await) };
    let address = listen(LOCAL, Arc::new(ServeState::new()), stopped)
        .await
        .unwrap();
    assert_eq!(asked(address, "GET", "/healthz").await.0, 200);
    stop.send(()).unwrap();
    let refused = async { while TcpStream::connect(address).await.is_ok() {} };
    timeout(DEADLINE, refused)
        .await
        .expect("nobody listens any more");
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let state = Arc::new(ServeState::new());
    let address = listening(&state).await;
    let error = listen(address, state, pending()).await.unwrap_err();
    assert_eq!(error.to_string(), format!("could not listen on {address}"));
    assert!(
        error
            .hint()
            .unwrap()
            .starts_with("another process listens there")
    );
}
