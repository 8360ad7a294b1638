//! Logs: what happened, in words, with its values as fields, on stderr.

use std::io;

use clap::ValueEnum;
use tracing::Metadata;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

/// Starts logging. `RUST_LOG` says what is logged; without it warnings are, and with each `-v` more.
pub(crate) fn start(format: LogFormat, verbosity: u8) {
    let level = match verbosity {
        0 => LevelFilter::WARN,
        1 => LevelFilter::INFO,
        2 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let filter = EnvFilter::builder().with_default_directive(level.into()).from_env_lossy();
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_target(false);
    match format {
        LogFormat::Text => subscriber.with_ansi(colored()).finish().with(filter_fn(may_be_logged)).init(),
        LogFormat::Json => subscriber.json().finish().with(filter_fn(may_be_logged)).init(),
    }
}

/// Crates that speak HTTP log whole URLs and the hosts in them, and a webhook's URL may be all that keeps strangers from
/// posting to it. They are silent, whatever `RUST_LOG` asks for.
const CRATES_THAT_TELL_URLS: [&str; 4] = ["ureq", "ureq_proto", "rustls", "rustls_platform_verifier"];

fn may_be_logged(metadata: &Metadata<'_>) -> bool {
    metadata.target().split("::").next().is_none_or(|name| !CRATES_THAT_TELL_URLS.contains(&name))
}

fn colored() -> bool {
    use std::io::IsTerminal;
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
