//! A server of files over HTTP/1.1: a web server with ranges and conditions, and the reading part of
//! S3, whose signatures it verifies.
//! Sources: <https://www.rfc-editor.org/rfc/rfc9110>,
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html>,
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// What files are read with, where the server asks for it.
pub(crate) const KEY_ID: &str = "AKIDEXAMPLE";
pub(crate) const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

/// What the server has and does.
#[derive(Default)]
pub(crate) struct Shelf {
    /// By path, without a slash before it.
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    /// What it was asked, as `GET PATH RANGE` and the status of the answer.
    pub(crate) asked: Vec<String>,
    /// Answers with a piece of a file after which lines break in the middle of one.
    pub(crate) breaks_after: Option<usize>,
    /// Put in place of a file when a piece of it was given.
    pub(crate) overwrites: Option<(String, Vec<u8>)>,
    /// The value that `Authorization` must have.
    pub(crate) authorization: Option<String>,
}

/// A server that runs as long as the test process.
pub(crate) struct FileServer {
    port: u16,
    shelf: Arc<Mutex<Shelf>>,
}

struct Asked {
    method: String,
    path: String,
    query: String,
    headers: BTreeMap<String, String>,
}

struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    breaks: bool,
}

impl FileServer {
    pub(crate) fn start(files: &[(&str, &[u8])]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let shelf = Shelf {
            files: files
                .iter()
                .map(|(path, bytes)| ((*path).to_owned(), bytes.to_vec()))
                .collect(),
            ..Shelf::default()
        };
        let shelf = Arc::new(Mutex::new(shelf));
        let shared = Arc::clone(&shelf);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shelf = Arc::clone(&shared);
                // A client that goes away ends its conversation, and nothing else.
                std::thread::spawn(move || drop(converse(&stream, &shelf)));
            }
        });
        Self { port, shelf }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.port)
    }

    pub(crate) fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().expect("no panic")
    }

    /// What it was asked since this was asked last.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.shelf().asked)
    }
}

fn converse(stream: &TcpStream, shelf: &Mutex<Shelf>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    while let Some(asked) = read(&mut reader)? {
        let answer = {
            let mut shelf = shelf.lock().expect("no panic");
            let answer = respond(&asked, &mut shelf);
            let range = asked.headers.get("range").map_or("", String::as_str);
            let line = format!("{} {} {range} {}", asked.method, asked.path, answer.status);
            shelf.asked.push(line);
            answer
        };
        send(stream, &answer)?;
        if answer.breaks {
            return stream.shutdown(std::net::Shutdown::Both);
        }
    }
    Ok(())
}

fn read(reader: &mut impl BufRead) -> std::io::Result<Option<Asked>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace().map(str::to_owned);
    let method = words.next().unwrap_or_default();
    let target = words.next().unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        match line.trim_end().split_once(':') {
            Some((name, value)) => {
                headers.insert(name.to_ascii_lowercase(), value.trim().to_owned())
            }
            None => break,
        };
    }
    let length = headers
        .get("content-length")
        .and_then(|text| text.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body)?;
    Ok(Some(Asked {
        method,
        path: path.to_owned(),
        query: query.to_owned(),
        headers,
    }))
}

fn send(mut stream: &TcpStream, answer: &Answer) -> std::io::Result<()> {
    let mut head = format!(
        "HTTP/1.1 {} Told\r\nContent-Length: {}\r\n",
        answer.status,
        answer.body.len()
    );
    for (name, value) in &answer.headers {
        write!(head, "{name}: {value}\r\n").expect("in memory");
    }
    head += "\r\n";
    stream.write_all(head.as_bytes())?;
    let sent = match answer.breaks {
        true => answer.body.len() / 2,
        false => answer.body.len(),
    };
    stream.write_all(&answer.body[..sent])?;
    stream.flush()
}

fn plain(status: u16, text: &str) -> Answer {
    Answer {
        status,
        headers: Vec::new(),
        body: text.as_bytes().to_vec(),
        breaks: false,
    }
}

fn respond(asked: &Asked, shelf: &mut Shelf) -> Answer {
    let authorization = asked.headers.get("authorization");
    if authorization.is_some_and(|value| value.starts_with("AWS4-HMAC-SHA256 ")) {
        if !is_signed(asked) {
            return plain(403, "<Error><Code>SignatureDoesNotMatch</Code></Error>");
        }
    } else if authorization != shelf.authorization.as_ref() {
        return plain(401, "");
    }
    if asked.query.contains("list-type=2") {
        return list(asked, shelf);
    }
    let path = asked.path.trim_start_matches('/').to_owned();
    let path = percent_encoding::percent_decode_str(&path)
        .decode_utf8()
        .expect("UTF-8")
        .into_owned();
    match shelf.files.get(&path).cloned() {
        Some(file) => give(asked, shelf, &path, &file),
        None => plain(404, "<Error><Code>NoSuchKey</Code></Error>"),
    }
}

fn tag(file: &[u8]) -> String {
    format!("\"{}\"", &hexadecimal(&Sha256::digest(file))[..16])
}

fn give(asked: &Asked, shelf: &mut Shelf, path: &str, file: &[u8]) -> Answer {
    let tag = tag(file);
    let header = |name: &str| asked.headers.get(name);
    if header("if-match").is_some_and(|wanted| *wanted != tag) {
        return plain(412, "");
    }
    if header("if-none-match").is_some_and(|known| *known == tag) {
        return plain(304, "");
    }
    let (status, begin, end) = match header("range") {
        None => (200, 0, file.len()),
        Some(range) => {
            let range = range.strip_prefix("bytes=").expect("bytes");
            let (first, last) = range.split_once('-').expect("a range");
            let first: usize = first.parse().expect("a number");
            let last: usize = last.parse().expect("a number");
            if first >= file.len() {
                return plain(416, "");
            }
            (206, first, file.len().min(last + 1))
        }
    };
    if let Some((other, bytes)) = shelf.overwrites.take_if(|(other, _)| *other == path) {
        shelf.files.insert(other, bytes);
    }
    let breaks = shelf.breaks_after == Some(0);
    shelf.breaks_after = shelf.breaks_after.map(|count| count.saturating_sub(1));
    Answer {
        status,
        headers: vec![
            ("ETag", tag),
            ("Last-Modified", "Mon, 30 Nov 2026 06:00:00 GMT".to_owned()),
            (
                "Content-Range",
                format!("bytes {begin}-{}/{}", end - 1, file.len()),
            ),
        ],
        body: file[begin..end].to_vec(),
        breaks,
    }
}

/// Two files a page, so that pages follow one another.
fn list(asked: &Asked, shelf: &Shelf) -> Answer {
    let parameters: BTreeMap<String, String> = url::form_urlencoded::parse(asked.query.as_bytes())
        .into_owned()
        .collect();
    let bucket = asked.path.trim_matches('/');
    let prefix = parameters.get("prefix").map_or("", String::as_str);
    let after = parameters
        .get("continuation-token")
        .map_or("", String::as_str);
    let keys = shelf.files.iter().filter_map(|(path, file)| {
        let key = path.strip_prefix(bucket)?.strip_prefix('/')?;
        (key.starts_with(prefix) && key > after).then_some((key, file))
    });
    let keys: Vec<_> = keys.collect();
    let mut text = String::from("<?xml version=\"1.0\"?><ListBucketResult>");
    for (key, file) in keys.iter().take(2) {
        write!(
            text,
            "<Contents><Key>{key}</Key><LastModified>2026-11-30T06:00:00.000Z</LastModified>\
             <ETag>{}</ETag><Size>{}</Size></Contents>",
            tag(file).replace('"', "&quot;"),
            file.len()
        )
        .expect("in memory");
    }
    if let (Some((last, _)), true) = (keys.get(1), keys.len() > 2) {
        write!(
            text,
            "<IsTruncated>true</IsTruncated><NextContinuationToken>{last}</NextContinuationToken>"
        )
        .expect("in memory");
    }
    plain(200, &(text + "</ListBucketResult>"))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn keyed(key: &[u8], text: &str) -> Vec<u8> {
    let mut keyed = Hmac::<Sha256>::new_from_slice(key).expect("keys of any length");
    keyed.update(text.as_bytes());
    keyed.finalize().into_bytes().to_vec()
}

/// Whether a request is signed by whoever knows the secret.
fn is_signed(asked: &Asked) -> bool {
    let authorization = &asked.headers["authorization"];
    let part = |name: &str| {
        let (_, rest) = authorization.split_once(&format!("{name}="))?;
        rest.split(',').next()
    };
    let (Some(credential), Some(signed), Some(signature)) =
        (part("Credential"), part("SignedHeaders"), part("Signature"))
    else {
        return false;
    };
    let Some((KEY_ID, scope)) = credential.split_once('/') else {
        return false;
    };
    let mut query: Vec<&str> = asked
        .query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .collect();
    query.sort_unstable();
    let header = |name: &str| asked.headers.get(name).map_or("", String::as_str);
    let headers: String = signed
        .split(';')
        .map(|name| format!("{name}:{}\n", header(name)))
        .collect();
    let request = format!(
        "{}\n{}\n{}\n{headers}\n{signed}\n{}",
        asked.method,
        asked.path,
        query.join("&"),
        header("x-amz-content-sha256")
    );
    let text = format!(
        "AWS4-HMAC-SHA256\n{}\n{scope}\n{}",
        header("x-amz-date"),
        hexadecimal(&Sha256::digest(request.as_bytes()))
    );
    let key = scope
        .split('/')
        .fold(format!("AWS4{SECRET}").into_bytes(), |key, part| {
            keyed(&key, part)
        });
    hexadecimal(&keyed(&key, &text)) == signature
}
