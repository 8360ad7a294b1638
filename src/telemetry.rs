//! Logs: what happened, in words, with its values as fields, on stderr.

use std::io::{self, Write};

use clap::ValueEnum;
use tracing::Metadata;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{LevelFilter, filter_fn};
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
    match format {
        LogFormat::Text if colored() => {
            subscriber
                .with_writer(|| LogLine(printable_colored))
                .finish()
                .with(filter_fn(may_be_logged))
                .init();
        }
        LogFormat::Text => {
            let subscriber = subscriber
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
