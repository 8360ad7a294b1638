//! A network between the program and a server that does what networks do: it cuts a connection at
//! any byte, resets it, falls silent, holds a message back, or hands bytes over one at a time. It
//! reads the framing of both protocols, so that a fault is placed by messages, and it keeps what
//! was said.

use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::Notify;

use super::running::{PATIENCE, Running};
use super::server::Server;
use super::workspace::{Ran, Workspace};

/// Bytes of a message that are kept: enough for a statement's first words.
const KEPT_BYTES_MAX: usize = 4096;

/// The number of connections that only look for a pool, which are not counted.
const LOOKER: usize = usize::MAX;

/// The connection on which a run is planned.
pub(crate) const PLANNER: usize = 0;

/// The connection on which a run with one writer writes, as long as nothing goes wrong.
pub(crate) const WRITER: usize = 1;

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Program,
    Server,
}

/// Where a fault happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum At {
    /// Around the end of a side's message of this number, from 0.
    Message {
        side: Side,
        number: usize,
        edge: Edge,
    },
    /// As the program's `nth` message that ends with these words arrives, from 0; it is not handed
    /// on.
    Asked { words: &'static str, nth: usize },
    /// As the server's answer to the program's `nth` message that ends with these words arrives; it
    /// is not handed on.
    Answered { words: &'static str, nth: usize },
}

/// How much of a message gets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Edge {
    /// All but its last byte.
    Short,
    /// All of it and nothing more.
    Whole,
    /// All of it and the first byte of what that side says next.
    Beyond,
}

impl Edge {
    pub(crate) const ALL: [Self; 3] = [Self::Short, Self::Whole, Self::Beyond];
}

/// What happens there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    /// Both connections are closed.
    Cut,
    /// Both connections are closed without a farewell.
    Reset,
    /// Nothing passes any more in either direction, and nobody is told.
    Silence,
    /// Nothing passes until the test lets it, then everything goes on.
    Hold,
}

/// One fault.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    /// The connection it happens to, in the order of their arrival, from 0; all of them if absent.
    pub(crate) connection: Option<usize>,
    pub(crate) at: At,
    pub(crate) act: Act,
}

/// A message as it was said.
#[derive(Debug, Clone)]
pub(crate) struct Said {
    pub(crate) connection: usize,
    pub(crate) side: Side,
    /// Its first bytes, those that are no text replaced.
    pub(crate) text: String,
}

impl Said {
    /// Whether it ends with these words.
    pub(crate) fn ends_with(&self, words: &str) -> bool {
        ends_with(&self.text, words)
    }
}

/// The proxy; it ends when it is dropped.
pub(crate) struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    /// Its thread carries the connections.
    runtime: Option<Runtime>,
}

struct Shared {
    server: Server,
    server_port: u16,
    state: Mutex<State>,
    met: Condvar,
    released: Notify,
}

#[derive(Default)]
struct State {
    faults: Vec<Fault>,
    connections: usize,
    met: usize,
    drips: bool,
    said: Vec<Said>,
}

impl Proxy {
    /// Stands before a project's server: its connections lead here from now on.
    pub(crate) fn before(place: &Workspace) -> Self {
        let proxy = Self::start(place.server, place.port());
        let settings = place.text("writeback.toml");
        let settings =
            settings.replace(&format!(":{}/", place.port()), &format!(":{}/", proxy.port));
        place.file("writeback.toml", &settings);
        proxy
    }

    fn start(server: Server, server_port: u16) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build();
        let runtime = runtime.expect("a runtime");
        let listener = runtime
            .block_on(TcpListener::bind("127.0.0.1:0"))
            .expect("a free port");
        let port = listener.local_addr().expect("a bound address").port();
        let shared = Arc::new(Shared {
            server,
            server_port,
            state: Mutex::default(),
            met: Condvar::new(),
            released: Notify::new(),
        });
        runtime.spawn(accept(listener, Arc::clone(&shared)));
        Self {
            port,
            shared,
            runtime: Some(runtime),
        }
    }

    /// Forgets what was, and lets these faults happen; connections are counted from 0 again.
    pub(crate) fn arm(&self, faults: Vec<Fault>) {
        *self.shared.lock() = State {
            faults,
            ..State::default()
        };
    }

    /// Hands every byte over by itself from now on.
    pub(crate) fn drip(&self) {
        self.shared.lock().drips = true;
    }

    /// How many faults have happened since the proxy was armed.
    pub(crate) fn met(&self) -> usize {
        self.shared.lock().met
    }

    /// What was said since the proxy was armed.
    pub(crate) fn said(&self) -> Vec<Said> {
        self.shared.lock().said.clone()
    }

    /// Waits until this many faults have happened.
    pub(crate) fn wait_until_met(&self, faults: usize) {
        let waited = self
            .shared
            .met
            .wait_timeout_while(self.shared.lock(), PATIENCE, |state| state.met < faults);
        assert!(
            !waited.expect("no test panics with the lock").1.timed_out(),
            "the fault did not happen in time"
        );
    }

    /// Lets go on what is held.
    pub(crate) fn release(&self) {
        self.shared.released.notify_one();
    }
}

/// Runs a job with one writer and does something after its first batch is in and before its second
/// one begins.
pub(crate) fn run_and_meanwhile(place: &Workspace, proxy: &Proxy, act: impl FnOnce()) -> Ran {
    let words = place.server.begins_to_write();
    proxy.arm(vec![Fault {
        connection: Some(WRITER),
        at: At::Asked { words, nth: 1 },
        act: Act::Hold,
    }]);
    let run = Running::start(place);
    proxy.wait_until_met(1);
    act();
    proxy.release();
    run.finish()
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics with the lock")
    }

    fn meet(&self) {
        self.lock().met += 1;
        self.met.notify_all();
    }
}

/// Whether it is the program's second connection, by which it finds out whether a pool stands
/// before PostgreSQL: its first message, which names it, is waited for and left to be read.
async fn looks_for_a_pool(program: &TcpStream) -> bool {
    let mut begin = [0; 1024];
    let read = program.peek(&mut begin).await.unwrap_or_default();
    String::from_utf8_lossy(&begin[..read]).contains("writeback pool check")
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((program, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        let only_looks = shared.server == Server::Postgres && looks_for_a_pool(&program).await;
        let number = match only_looks {
            true => LOOKER,
            false => {
                let mut state = shared.lock();
                state.connections += 1;
                state.connections - 1
            }
        };
        tokio::spawn(async move {
            // That a server is not there is for the program to find out.
            let Ok(server) = TcpStream::connect(("127.0.0.1", shared.server_port)).await else {
                return;
            };
            let mut line = Line {
                shared,
                number,
                program,
                server,
                heard: Heard::default(),
            };
            line.carry().await;
        });
    }
}

/// One connection of the program's, and the proxy's own to the server.
struct Line {
    shared: Arc<Shared>,
    number: usize,
    program: TcpStream,
    server: TcpStream,
    heard: Heard,
}

/// What of a connection has been heard.
#[derive(Default)]
struct Heard {
    program: Stream,
    server: Stream,
    /// What the program has said since the server last spoke.
    asked: String,
    /// Whether the server has spoken since.
    answered: bool,
    /// How often each fault's words were asked or answered.
    word_counts: Vec<usize>,
    /// The fault that happens to the next byte of this side.
    due: Option<(Side, Act)>,
}

/// The bytes of one side that are not a whole message yet, and how many messages there were.
#[derive(Default)]
struct Stream {
    pending: Vec<u8>,
    messages: usize,
}

/// What becomes of a message.
struct Passage {
    /// Bytes that are handed on.
    through: usize,
    /// What happens then.
    act: Option<Act>,
}

impl Line {
    async fn carry(&mut self) {
        // Small packets are to arrive as they were sent. A connection that is gone shows when it is
        // read.
        drop(self.program.set_nodelay(true));
        drop(self.server.set_nodelay(true));
        loop {
            let (side, read) = tokio::select! {
                read = self.program.read_buf(&mut self.heard.program.pending) => (Side::Program, read),
                read = self.server.read_buf(&mut self.heard.server.pending) => (Side::Server, read),
            };
            if !matches!(read, Ok(1..)) || !self.pass_on(side).await {
                return;
            }
        }
    }

    /// Hands on the whole messages of a side; `false` once the connection is over.
    async fn pass_on(&mut self, side: Side) -> bool {
        while let Some(message) = self.heard.next(self.shared.server, side) {
            let passage = self.heard.judge(&self.shared, self.number, side, &message);
            if self.send(side, &message[..passage.through]).await.is_err() {
                return false;
            }
            let Some(act) = passage.act else { continue };
            self.shared.meet();
            match act {
                Act::Cut => return false,
                Act::Reset => {
                    self.program.set_zero_linger().expect("an open socket");
                    self.server.set_zero_linger().expect("an open socket");
                    return false;
                }
                Act::Silence => std::future::pending().await,
                Act::Hold => self.shared.released.notified().await,
            }
            if self.send(side, &message[passage.through..]).await.is_err() {
                return false;
            }
        }
        true
    }

    async fn send(&mut self, side: Side, bytes: &[u8]) -> std::io::Result<()> {
        let drips = self.shared.lock().drips;
        let to = match side {
            Side::Program => &mut self.server,
            Side::Server => &mut self.program,
        };
        for piece in bytes.chunks(if drips { 1 } else { usize::MAX }) {
            to.write_all(piece).await?;
        }
        Ok(())
    }
}

impl Heard {
    /// The next whole message of a side.
    fn next(&mut self, server: Server, side: Side) -> Option<Vec<u8>> {
        let stream = match side {
            Side::Program => &mut self.program,
            Side::Server => &mut self.server,
        };
        let begins = side == Side::Program && stream.messages == 0;
        let length = message_length(server, begins, &stream.pending)?;
        if stream.pending.len() < length {
            return None;
        }
        let rest = stream.pending.split_off(length);
        Some(std::mem::replace(&mut stream.pending, rest))
    }

    /// Notes a message and says what becomes of it.
    fn judge(&mut self, shared: &Shared, connection: usize, side: Side, message: &[u8]) -> Passage {
        let text =
            String::from_utf8_lossy(&message[..message.len().min(KEPT_BYTES_MAX)]).into_owned();
        let number = self.count(side);
        let answers = match side {
            Side::Program => {
                if std::mem::take(&mut self.answered) {
                    self.asked.clear();
                }
                self.asked += &text;
                false
            }
            Side::Server => !std::mem::replace(&mut self.answered, true),
        };
        let mut state = shared.lock();
        let faults: Vec<Fault> = state.faults.clone();
        state.said.push(Said {
            connection,
            side,
            text: text.clone(),
        });
        drop(state);
        if let Some((_, act)) = self.due.take_if(|(due, _)| *due == side) {
            return Passage {
                through: 1,
                act: Some(act),
            };
        }
        self.word_counts.resize(faults.len(), 0);
        for (index, fault) in faults.iter().enumerate() {
            if fault.connection.is_some_and(|of| of != connection) {
                continue;
            }
            match &fault.at {
                At::Message {
                    side: of,
                    number: wanted,
                    edge,
                } if *of == side && *wanted == number => match edge {
                    Edge::Short => {
                        return Passage {
                            through: message.len() - 1,
                            act: Some(fault.act),
                        };
                    }
                    Edge::Whole => {
                        return Passage {
                            through: message.len(),
                            act: Some(fault.act),
                        };
                    }
                    Edge::Beyond => self.due = Some((side, fault.act)),
                },
                At::Asked { words, nth } if side == Side::Program && ends_with(&text, words) => {
                    self.word_counts[index] += 1;
                    if self.word_counts[index] == nth + 1 {
                        return Passage {
                            through: 0,
                            act: Some(fault.act),
                        };
                    }
                }
                At::Answered { words, nth } if answers && ends_with(&self.asked, words) => {
                    self.word_counts[index] += 1;
                    if self.word_counts[index] == nth + 1 {
                        return Passage {
                            through: 0,
                            act: Some(fault.act),
                        };
                    }
                }
                At::Message { .. } | At::Asked { .. } | At::Answered { .. } => {}
            }
        }
        Passage {
            through: message.len(),
            act: None,
        }
    }

    /// Counts a side's message; returns its number.
    fn count(&mut self, side: Side) -> usize {
        let stream = match side {
            Side::Program => &mut self.program,
            Side::Server => &mut self.server,
        };
        stream.messages += 1;
        stream.messages - 1
    }
}

/// Whether a message ends with these words, apart from the mark of its end.
fn ends_with(text: &str, words: &str) -> bool {
    text.trim_end_matches('\0').ends_with(words)
}

/// Bytes of the message that `bytes` begin with, as soon as its head tells; `begins` for a
/// connection's first. Source:
/// <https://www.postgresql.org/docs/current/protocol-message-formats.html>,
/// <https://mariadb.com/kb/en/0-packet/>.
fn message_length(server: Server, begins: bool, bytes: &[u8]) -> Option<usize> {
    let big_endian = |bytes: &[u8]| {
        bytes
            .iter()
            .fold(0, |length, byte| length << 8 | usize::from(*byte))
    };
    match server {
        Server::Sqlite => unreachable!("a file has no connections"),
        // The first message has no type before its length, which counts itself.
        Server::Postgres if begins => bytes.get(..4).map(big_endian),
        Server::Postgres => bytes.get(1..5).map(|length| big_endian(length) + 1),
        Server::MariaDb => {
            let length: Vec<u8> = bytes.get(..4)?[..3].iter().rev().copied().collect();
            Some(big_endian(&length) + 4)
        }
    }
}
