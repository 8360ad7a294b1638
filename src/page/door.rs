//! Who gets in, and from where: the hosts that the page answers to, requests that another site made,
//! sessions and tokens, roles, and the headers that keep a browser from doing what the page did not
//! ask it to.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use axum::serve::IncomingStream;
use tokio::net::UnixListener;
use url::Url;

use super::house::House;
use super::refusal::{self, Refusal};
use crate::config::ProxySettings;
use crate::domain::access::{Right, Rights, Role, is_within};
use crate::doorkeeper::Doorkeeper;
use crate::ledger::NewAction;

/// The other end of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) enum Peer {
    Address(SocketAddr),
    /// A proxy, over a socket in the file system.
    Socket,
}

impl Peer {
    pub(super) fn told(self) -> String {
        match self {
            Self::Address(address) => address.ip().to_string(),
            Self::Socket => "the proxy".to_owned(),
        }
    }
}

impl Connected<IncomingStream<'_, Doorkeeper>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Doorkeeper>) -> Self {
        Self::Address(*stream.remote_addr())
    }
}

impl Connected<IncomingStream<'_, Doorkeeper<UnixListener>>> for Peer {
    fn connect_info(_stream: IncomingStream<'_, Doorkeeper<UnixListener>>) -> Self {
        Self::Socket
    }
}

/// Bytes of a request's head at most.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// What an answer may load and do, which is next to nothing. No script is written into a page, and
/// none may make markup out of texts.
/// Source: <https://www.w3.org/TR/CSP3/>, <https://www.w3.org/TR/trusted-types/>.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; \
    frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// Headers of every answer. `same-origin` rather than `no-referrer`, which would take the origin
/// from forms too.
const HEADERS: [(&str, &str); 7] = [
    ("content-security-policy", CONTENT_SECURITY_POLICY),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    (
        "permissions-policy",
        "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    ),
];

/// Who asks.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) name: String,
    pub(super) role: Role,
    pub(super) through: Through,
    pub(super) rights: Rights,
    /// The only job that is theirs, with its agencies, if there is one.
    pub(super) job: Option<String>,
    pub(super) address: String,
}

/// How somebody got in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Through {
    /// A browser with this session.
    Page { session: i64 },
    /// A program with a token.
    Api,
    /// A browser whose person a proxy named.
    Proxy,
}

impl Caller {
    /// An act of theirs, to be written down.
    pub(super) fn action<'a>(&'a self, act: &'a str, result: &'a str) -> NewAction<'a> {
        NewAction {
            who: Some(&self.name),
            role: Some(self.role.name()),
            through: match self.through {
                Through::Page { .. } | Through::Proxy => "page",
                Through::Api => "api",
            },
            address: Some(&self.address),
            act,
            target: None,
            arguments: None,
            seen: None,
            result,
        }
    }

    pub(super) fn holds(&self, right: Right) -> bool {
        self.role >= self.rights.least(right)
    }

    /// Whether a job is theirs to see.
    pub(super) fn may_see(&self, job: &str) -> bool {
        self.job.as_deref().is_none_or(|own| is_within(own, job))
    }

    /// Errors: the job is not theirs.
    pub(super) fn expect_job(&self, job: &str) -> Result<(), Refusal> {
        match self.may_see(job) {
            true => Ok(()),
            false => Err(self.not_theirs()),
        }
    }

    /// Errors: only one job is theirs.
    pub(super) fn expect_every_job(&self) -> Result<(), Refusal> {
        match self.job {
            None => Ok(()),
            Some(_) => Err(self.not_theirs()),
        }
    }

    fn not_theirs(&self) -> Refusal {
        let own = self.job.as_deref().unwrap_or_default();
        let title = format!("`{}` is good for job `{own}` only", self.name);
        Refusal::new(StatusCode::FORBIDDEN, title)
    }

    pub(super) fn session(&self) -> Option<i64> {
        match self.through {
            Through::Page { session } => Some(session),
            Through::Api | Through::Proxy => None,
        }
    }
}

/// The hosts that the page answers to, as `Host` names them: whoever makes another name lead to this
/// address gets nothing.
#[derive(Debug)]
pub(super) struct Hosts(Vec<String>);

impl Hosts {
    pub(super) fn of(address: Option<SocketAddr>, url: Option<&Url>) -> Self {
        let mut hosts: Vec<String> = address.iter().map(ToString::to_string).collect();
        if let Some(address) = address
            && (address.ip().is_loopback() || address.ip().is_unspecified())
        {
            let port = address.port();
            hosts.extend(["localhost", "127.0.0.1", "[::1]"].map(|host| format!("{host}:{port}")));
        }
        if let Some(url) = url
            && let Some(host) = url.host_str()
        {
            hosts.push(host.to_owned());
            let port = url.port_or_known_default();
            hosts.extend(port.map(|port| format!("{host}:{port}")));
        }
        Self(hosts)
    }

    fn include(&self, host: &str) -> bool {
        self.0.iter().any(|known| known.eq_ignore_ascii_case(host))
    }
}

/// Lets pass what a browser sends for somebody who is on the page, and what a program sends.
pub(super) async fn expected(
    State(house): State<Arc<House>>,
    request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    expect_host(&house.hosts, request.uri(), request.headers())?;
    expect_short(request.headers())?;
    expect_own(request.method(), request.headers())?;
    Ok(next.run(request).await)
}

fn expect_host(hosts: &Hosts, uri: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
    let mut named = headers.get_all(header::HOST).iter();
    let host = named.next().and_then(|host| host.to_str().ok());
    let target = uri.authority().map(|authority| authority.as_str());
    let one = named.next().is_none();
    let known = host.is_some_and(|host| hosts.include(host));
    let target_known = target.is_none_or(|target| hosts.include(target));
    if one && known && target_known {
        return Ok(());
    }
    let title = "the page is not known by this name";
    let hint = "open it where `writeback page link` says; another name is made known by `url` in `[page]` of \
                writeback.toml";
    Err(Refusal::new(StatusCode::MISDIRECTED_REQUEST, title).hint(hint))
}

fn expect_short(headers: &HeaderMap) -> Result<(), Refusal> {
    let bytes: usize = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum();
    match bytes <= HEAD_BYTES_MAX {
        true => Ok(()),
        false => Err(Refusal::new(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "the request's head is too long",
        )),
    }
}

/// Another site may lead somebody here, and no more: it may fetch nothing, and post nothing. A
/// browser says where a form comes from; what brings a cookie and does not say so is no browser.
fn expect_own(method: &Method, headers: &HeaderMap) -> Result<(), Refusal> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let site = text("sec-fetch-site");
    let other_site = matches!(site, Some("cross-site" | "same-site"));
    let navigates = text("sec-fetch-mode") == Some("navigate");
    let looks = method.is_safe();
    if looks && other_site && !navigates {
        let title = "another site asks for this";
        return Err(Refusal::new(StatusCode::FORBIDDEN, title));
    }
    let unsaid = site.is_none() && text("origin").is_none();
    if !looks && unsaid && headers.contains_key(header::COOKIE) {
        let title = "the request does not say which page it comes from";
        let hint = "programs send a token, `Authorization: Bearer …`, and no cookie";
        return Err(Refusal::new(StatusCode::FORBIDDEN, title).hint(hint));
    }
    Ok(())
}

/// Lets pass who is signed in, or brings a token.
pub(super) async fn signed_in(
    State(house): State<Arc<House>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    mut request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    let Some(caller) = caller(&house, request.headers(), peer).await? else {
        return Ok(not_signed_in(request.method(), request.uri()));
    };
    request.extensions_mut().insert(caller.clone());
    let mut response = next.run(request).await;
    response.extensions_mut().insert(caller);
    Ok(response)
}

async fn caller(house: &House, headers: &HeaderMap, peer: Peer) -> Result<Option<Caller>, Refusal> {
    let address = peer.told();
    let authorization = headers.get(header::AUTHORIZATION);
    if let Some(given) = authorization.and_then(|value| value.to_str().ok()) {
        let token = match given.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
                house.access.token_of(token.trim()).await?
            }
            _ => None,
        };
        return Ok(token.map(|token| Caller {
            name: token.name,
            role: token.role,
            rights: house.settings.rights,
            through: Through::Api,
            job: token.job,
            address,
        }));
    }
    if let (Peer::Socket, Some(proxy)) = (peer, &house.settings.proxy) {
        return named_by_proxy(proxy, house.settings.rights, headers, address);
    }
    let session = match cookie(headers, session_cookie(house)) {
        Some(secret) => house.access.session_of(secret).await?,
        None => None,
    };
    Ok(session.map(|session| Caller {
        name: session.name,
        role: session.role,
        rights: house.settings.rights,
        through: Through::Page {
            session: session.session,
        },
        job: session.job,
        address,
    }))
}

/// Whom the proxy names, with the highest role that a group of theirs has. Only over a socket in the
/// file system is it the proxy that says so: over a network anybody could.
/// Errors: none of their groups has a role.
fn named_by_proxy(
    proxy: &ProxySettings,
    rights: Rights,
    headers: &HeaderMap,
    address: String,
) -> Result<Option<Caller>, Refusal> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(name) = text(&proxy.user)
        .map(str::trim)
        .filter(|name| !name.is_empty())
    else {
        return Ok(None);
    };
    let groups = proxy.groups.as_deref().and_then(text).unwrap_or_default();
    let roles = groups
        .split(',')
        .filter_map(|group| proxy.roles.get(group.trim()));
    let role = roles.copied().chain(proxy.role).max();
    let role = role.ok_or_else(|| {
        let title = format!("`{name}` is in no group that has a role here");
        let hint = "`roles` in `[page.proxy]` of writeback.toml says which groups have which";
        Refusal::new(StatusCode::FORBIDDEN, title).hint(hint)
    })?;
    Ok(Some(Caller {
        name: name.to_owned(),
        role,
        rights,
        through: Through::Proxy,
        job: None,
        address,
    }))
}

/// A person is led to where they sign in; a program is told.
fn not_signed_in(method: &Method, uri: &Uri) -> Response {
    if method.is_safe() && !refusal::is_api(uri) {
        return refusal::to_sign_in(uri);
    }
    let title = "nobody is signed in";
    let hint = "send a token: `Authorization: Bearer …`; `writeback page token add NAME` makes one";
    let mut response = Refusal::new(StatusCode::UNAUTHORIZED, title)
        .hint(hint)
        .into_response();
    let asked = HeaderValue::from_static("Bearer");
    response
        .headers_mut()
        .insert(header::WWW_AUTHENTICATE, asked);
    response
}

/// Lets pass who has at least this role.
pub(super) async fn at_least(
    State(least): State<Role>,
    request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    let caller = request.extensions().get::<Caller>();
    if caller.is_some_and(|caller| caller.role >= least) {
        return Ok(next.run(request).await);
    }
    Err(too_low(least))
}

/// Lets pass who has this right.
pub(super) async fn holds(
    State(right): State<Right>,
    request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    let caller = request.extensions().get::<Caller>();
    if caller.is_some_and(|caller| caller.holds(right)) {
        return Ok(next.run(request).await);
    }
    let rights = caller.map_or_else(Rights::default, |caller| caller.rights);
    Err(too_low(rights.least(right)))
}

fn too_low(least: Role) -> Refusal {
    let title = format!("this takes the role {} or more", least.name());
    Refusal::new(StatusCode::FORBIDDEN, title).hint("an admin may give it to you")
}

/// Every answer says what it may load, and that it is not to be kept unless it says otherwise.
pub(super) async fn with_headers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        let name = HeaderName::from_static(name);
        headers.insert(name, HeaderValue::from_static(value));
    }
    let not_kept = HeaderValue::from_static("no-store");
    headers.entry(header::CACHE_CONTROL).or_insert(not_kept);
    response
}

/// The name of the cookie that holds a session. Behind TLS its prefix makes browsers keep it to this
/// host and to TLS; some take no such cookie from a page without.
pub(super) fn session_cookie(house: &House) -> &'static str {
    match house.is_encrypted() {
        true => "__Host-writeback",
        false => "writeback",
    }
}

/// The header that hands a browser a cookie, or takes it back.
pub(super) fn set_cookie(house: &House, name: &str, value: &str, lasts: Lasts) -> HeaderValue {
    let secure = if house.is_encrypted() { "; Secure" } else { "" };
    let age = match lasts {
        Lasts::Session => String::new(),
        Lasts::Year => "; Max-Age=31536000".to_owned(),
        Lasts::Not => "; Max-Age=0".to_owned(),
    };
    let text = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax{secure}{age}");
    HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// How long a browser keeps a cookie.
#[derive(Debug, Clone, Copy)]
pub(super) enum Lasts {
    Session,
    Year,
    Not,
}

/// The value of a cookie, if the request brings it.
pub(super) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(header::COOKIE).iter();
    let pairs = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'));
    pairs
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(known, value)| (known == name).then_some(value))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests may")]
mod tests {
    use super::*;

    fn hosts(url: Option<&str>) -> Hosts {
        let url = url.map(|url| Url::parse(url).unwrap());
        Hosts::of(Some("127.0.0.1:9465".parse().unwrap()), url.as_ref())
    }

    #[test]
    fn only_its_own_names_are_answered_to() {
        let hosts = hosts(Some("https://writeback.example.com"));
        for known in [
            "127.0.0.1:9465",
            "localhost:9465",
            "LOCALHOST:9465",
            "[::1]:9465",
            "writeback.example.com",
            "writeback.example.com:443",
        ] {
            assert!(hosts.include(known), "{known}");
        }
        for other in [
            "",
            "127.0.0.1",
            "127.0.0.1:9464",
            "127.0.0.1.evil.com",
            "127.0.0.1.evil.com:9465",
            "evil.com:9465",
            "writeback.example.com:80",
        ] {
            assert!(!hosts.include(other), "{other}");
        }
    }

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let line = |(name, value): &(&'static str, &'static str)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        };
        lines.iter().map(line).collect()
    }

    #[test]
    fn another_site_may_lead_here_and_fetch_nothing() {
        let site = ("sec-fetch-site", "cross-site");
        let led = headers(&[site, ("sec-fetch-mode", "navigate")]);
        assert!(expect_own(&Method::GET, &led).is_ok());
        let fetched = headers(&[site, ("sec-fetch-mode", "no-cors")]);
        assert!(expect_own(&Method::GET, &fetched).is_err());
    }

    #[test]
    fn a_post_with_a_cookie_says_where_it_comes_from() {
        let cookie = ("cookie", "writeback=x");
        let unsaid = headers(&[cookie]);
        assert!(expect_own(&Method::POST, &unsaid).is_err());
        assert!(expect_own(&Method::GET, &unsaid).is_ok());
        let said = headers(&[cookie, ("sec-fetch-site", "same-origin")]);
        assert!(expect_own(&Method::POST, &said).is_ok());
        let program = headers(&[("authorization", "Bearer wb_x")]);
        assert!(expect_own(&Method::POST, &program).is_ok());
    }

    #[test]
    fn a_cookie_is_found_among_others() {
        let headers = headers(&[("cookie", "a=1; writeback=two; xwriteback=3")]);
        assert_eq!(cookie(&headers, "writeback"), Some("two"));
        assert_eq!(cookie(&headers, "b"), None);
    }
}
