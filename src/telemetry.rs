//! Logs: what happened, in words, with its values as fields, on stderr.

use std::fmt;
use std::io::{self, Write};

use clap::ValueEnum;
use tracing::Metadata;
use tracing::field::Field;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::domain::printable::{printable, printable_colored, printable_json};
use crate::report::output;

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

/// Starts logging. `RUST_LOG` says what is logged; without it warnings are, and with each `-v`
/// more.
pub(crate) fn start(format: LogFormat, verbosity: u8) {
    let level = match verbosity {
        0 => LevelFilter::WARN,
        1 => LevelFilter::INFO,
        2 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let filter = EnvFilter::builder()
        .with_default_directive(level.into())
        .from_env_lossy();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        // What is the matter with a log would be told by a panic.
        .log_internal_errors(false)
        .with_target(false);
    let quoted = || debug_fn(write_field).delimited(" ");
    match format {
        LogFormat::Text if colored() => {
            subscriber
                .fmt_fields(quoted())
                .with_writer(|| LogLine(printable_colored))
                .finish()
                .with(filter_fn(may_be_logged))
                .init();
        }
        LogFormat::Text => {
            let subscriber = subscriber
                .fmt_fields(quoted())
                .with_ansi(false)
                .with_writer(|| LogLine(printable));
            subscriber.finish().with(filter_fn(may_be_logged)).init();
        }
        LogFormat::Json => {
            let subscriber = subscriber.json().with_writer(|| LogLine(printable_json));
            subscriber.finish().with(filter_fn(may_be_logged)).init();
        }
    }
}

/// Writes a field of a line of the log. A value is quoted where it could be taken for something
/// else: one of several words, one with an equals sign, one that is empty.
fn write_field(writer: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    let told = format!("{value:?}");
    if field.name() == "message" {
        return write!(writer, "{told}");
    }
    let is_quoted = told.len() > 1 && told.starts_with('"') && told.ends_with('"');
    let is_plain = |letter: char| !letter.is_whitespace() && !matches!(letter, '"' | '=');
    match is_quoted || (!told.is_empty() && told.chars().all(is_plain)) {
        true => write!(writer, "{}={told}", field.name()),
        false => write!(writer, "{}={}", field.name(), quoted_text(&told)),
    }
}

/// A text between quotation marks, of which those within are escaped.
fn quoted_text(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Writes one line of the log, made printable. A line that cannot be written is lost.
struct LogLine(fn(&str) -> String);

impl Write for LogLine {
    /// Takes the whole line: the formatter writes each at once.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        let text = (self.0)(text.strip_suffix('\n').unwrap_or(&text)) + "\n";
        output::tell_log(text.as_bytes());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Crates that speak HTTP log whole URLs and the hosts in them, and a webhook's URL may be all that
/// keeps strangers from posting to it. They are silent, whatever `RUST_LOG` asks for.
const CRATES_THAT_TELL_URLS: [&str; 4] =
    ["ureq", "ureq_proto", "rustls", "rustls_platform_verifier"];

fn may_be_logged(metadata: &Metadata<'_>) -> bool {
    metadata
        .target()
        .split("::")
        .next()
        .is_none_or(|name| !CRATES_THAT_TELL_URLS.contains(&name))
}

fn colored() -> bool {
    use std::io::IsTerminal;
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
