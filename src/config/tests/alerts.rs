//! `[alerts]` of the project file and of jobs.

use super::*;
use crate::domain::channel::Channels;
use crate::domain::share::{Percent, RecordsMax};

/// A project whose first lines are these.
fn place_with(lines: &str) -> Place {
    let mut place = Place::new();
    place
        .environment
        .push(("HOOK_URL", "https://hooks.example.com/canary-7f"));
    place.environment.push(("HOOK_SECRET", "canary-7f"));
    place
        .environment
        .push(("PLAIN_URL", "http://hooks.example.com/canary-7f"));
    place.write("writeback.toml", &format!("{lines}\n{PROJECT}"));
    place
}

/// What is told of `[alerts]` with these lines, whether at once or by its channels.
fn told(lines: &str) -> String {
    let place = place_with(&format!("[alerts]\n{lines}"));
    match place.project() {
        Err(problems) => text_of(&problems),
        Ok(project) => text_of(&project.channels().err().unwrap_or_default()),
    }
}

fn channels(lines: &str) -> Channels {
    place_with(&format!("[alerts]\n{lines}"))
        .project()
        .expect("no mistake")
        .channels()
        .expect("all there")
        .clone()
}

#[test]
fn without_alerts_there_is_nobody_to_tell_and_no_threshold() {
    let place = Place::new();
    let channels = place
        .project()
        .expect("a project")
        .channels()
        .expect("none")
        .clone();
    assert_eq!(channels.configured(), []);
    let thresholds = place.job().expect("a job").job.thresholds;
    assert_eq!(
        (thresholds.rejected_max, thresholds.read_change_max),
        (None, None)
    );
    assert_eq!(thresholds.recent_runs.get(), 10);
}

#[test]
fn channels_are_read_whole_and_print_no_secret() {
    let lines = r#"command = ["page", "--team", "$OPS"]
command_timeout = "5s"
webhook = { url = { env = "HOOK_URL" }, secret = { env = "HOOK_SECRET" }, timeout = "3s" }
"#;
    let channels = channels(lines);
    assert!(!format!("{channels:?}").contains("canary"));
    let command = channels.command.expect("a command");
    assert_eq!(
        (command.program.to_str(), command.timeout),
        (Some("page"), Duration::from_secs(5))
    );
    assert_eq!(command.arguments, ["--team", "$OPS"]);
    let webhook = channels.webhook.expect("a webhook");
    assert_eq!(webhook.url.reveal(), "https://hooks.example.com/canary-7f");
    assert_eq!(
        webhook
            .secret
            .map(|secret| secret.reveal().to_owned())
            .as_deref(),
        Some("canary-7f")
    );
    assert_eq!(webhook.timeout, Duration::from_secs(3));
}

#[test]
fn plain_http_leads_to_this_machine_only() {
    for url in [
        "http://localhost:9000/a",
        "http://127.0.0.1:9000/",
        "http://127.8.0.1/",
        "http://[::1]:9000/",
    ] {
        assert_eq!(
            channels(&format!("webhook.url = '{url}'\n"))
                .webhook
                .expect("a webhook")
                .url
                .reveal(),
            url
        );
    }
    for host in [
        "hooks.example.com",
        "localhost.example.com",
        "10.0.0.1",
        "0.0.0.0",
        "[::]",
        "169.254.169.254",
    ] {
        assert_eq!(
            told(&format!("webhook.url = 'http://{host}/canary-7f'\n")),
            "writeback.toml:2:15: the webhook's url is plain http, which everybody on the way can read and change\n  \
             hint: write `https://…`; plain http may lead to this machine only, such as `http://127.0.0.1:9000/`\n"
        );
    }
}

#[test]
fn a_program_of_the_project_is_found_wherever_the_command_is_given() {
    let place = place_with("[alerts]\ncommand = [\"bin/page\"]\n");
    place.write("bin/page", "#!/bin/sh\n");
    let project = place.project().expect("no mistake");
    let command = project
        .channels()
        .expect("it is there")
        .command
        .clone()
        .expect("a command");
    assert_eq!(command.program, place.folder.path().join("bin/page"));
}

#[test]
fn thresholds_of_a_job_take_the_place_of_the_projects() {
    let place = place_with(
        "[alerts]\nrejected_max = \"5 %\"\nread_change_max = \"50 %\"\nrecent_runs = 20\n",
    );
    let of_project = place.job().expect("a job").job.thresholds;
    assert_eq!(
        of_project.rejected_max,
        Percent::parse("5 %").map(RecordsMax::Share)
    );
    assert_eq!(
        (of_project.read_change_max, of_project.recent_runs.get()),
        (Percent::parse("50 %"), 20)
    );
    place.write(
        "schedules/weekly.toml",
        &format!("[alerts]\nrejected_max = 100\n\n{JOB}"),
    );
    let own = place.job().expect("a job").job.thresholds;
    assert_eq!(own.rejected_max, Some(RecordsMax::Count(100)));
    assert_eq!(
        (own.read_change_max, own.recent_runs.get()),
        (Percent::parse("50 %"), 20)
    );
}

#[test]
fn a_job_names_thresholds_and_no_channels() {
    assert_eq!(
        job_with(&[(
            "[cadence]",
            "[alerts]\ncommand = [\"page\"]\nrejectedmax = 3\n\n[cadence]"
        )]),
        "schedules/weekly.toml:2:1: `command` means nothing to the `[alerts]` of a job\n  \
         hint: known keys: `rejected_max`, `skipped_max`, `read_change_max`\n\
         schedules/weekly.toml:3:1: `rejectedmax` is not a key of `[alerts]`\n  hint: did you mean `rejected_max`?\n"
    );
}

#[test]
fn a_secret_that_is_not_there_is_told_to_who_would_use_it() {
    let lines = r#"command = ["/nowhere/page"]
webhook = { url = { env = "NO_URL" }, secret = { file = "no_secret" } }
"#;
    assert_eq!(
        told(lines),
        "writeback.toml:2:11: there is no program `/nowhere/page`\n  \
         hint: name a file by its whole path, or a program that stands in PATH\n\
         writeback.toml:3:27: environment variable `NO_URL` is not set\n  hint: export NO_URL=…\n\
         writeback.toml:3:57: `no_secret` does not exist\n  hint: write the value alone into `no_secret`\n"
    );
    let place = place_with(&format!("[alerts]\n{lines}"));
    assert!(place.job().is_ok(), "jobs run without alerts");
    assert_eq!(
        told("webhook.url = { env = \"PLAIN_URL\" }\n"),
        "writeback.toml:2:15: the webhook's url is plain http, which everybody on the way can read and change\n  \
         hint: write `https://…`; plain http may lead to this machine only, such as `http://127.0.0.1:9000/`\n"
    );
}

#[test]
fn mistakes_of_commands_are_told() {
    let hint = "hint: write the program and each of its arguments as a string of its own, no shell reads them: \
                `command = [\"/usr/local/bin/page\", \"--team\", \"ops\"]`\n";
    assert_eq!(
        told("command = \"page --team ops\"\n"),
        format!("writeback.toml:2:11: `command` is a string, not a list of strings\n  {hint}")
    );
    for empty in ["[]", "[\"\"]"] {
        assert_eq!(
            told(&format!("command = {empty}\n")),
            format!("writeback.toml:2:11: `command` names no program\n  {hint}")
        );
    }
    assert_eq!(
        told("command = [\"page\", 3]\n"),
        "writeback.toml:2:20: an entry of `command` is a whole number, not a string\n  hint: strings stand in quotes\n"
    );
    assert_eq!(
        told("command = [\"page\", \"a\\u0000b\"]\n"),
        "writeback.toml:2:11: `command` holds a NUL character, which no program can be given\n"
    );
}

#[test]
fn mistakes_of_webhooks_are_told_without_the_url() {
    for (line, message, hint) in [
        (
            "'canary-7f'",
            "the webhook's url cannot be read",
            "write `https://HOST/PATH`",
        ),
        (
            "'ftp://host/canary-7f'",
            "the webhook's url is neither https nor http",
            "write `https://HOST/PATH`",
        ),
        (
            "'data:canary-7f'",
            "the webhook's url names no host",
            "write `https://HOST/PATH`",
        ),
        (
            "'https://u:canary-7f@host/'",
            "the webhook's url holds a user or a password",
            "leave them out; `secret` signs what is posted",
        ),
    ] {
        assert_eq!(
            told(&format!("webhook.url = {line}\n")),
            format!("writeback.toml:2:15: {message}\n  hint: {hint}\n")
        );
    }
    assert_eq!(
        told("webhook = { url = \"https://host/\", secret = \"canary-7f\" }\n"),
        "writeback.toml:2:45: `secret` stands in the file for everybody to read\n  \
         hint: write `secret = { env = \"NAME\" }` or `secret = { file = \"PATH\" }`\n"
    );
    assert_eq!(
        told("webhook = { timeout = \"0s\", retries = 3 }\n"),
        "writeback.toml:2:11: `webhook` has no `url`\n  \
         hint: write `url = \"https://…\"`, or `url = { env = \"NAME\" }` where the URL is a secret\n\
         writeback.toml:2:23: `timeout` is not between 1ms and 7days\n\
         writeback.toml:2:29: `retries` is not a key of `webhook`\n  hint: known keys: `url`, `secret`, `timeout`, `ca_file`\n"
    );
}

#[test]
fn mistakes_of_thresholds_are_told() {
    let hint = "hint: write a share of all in quotes, `\"5 %\"`, or a count, `100`\n";
    for word in ["\"5\"", "\"101 %\"", "\"many\"", "-1", "0.05"] {
        let shown = word.trim_matches('"');
        assert_eq!(
            told(&format!("rejected_max = {word}\n")),
            format!(
                "writeback.toml:2:16: `rejected_max` is `{shown}`, which is neither a share nor a count of records\n  \
                 {hint}"
            )
        );
    }
    assert_eq!(
        told("read_change_max = \"half\"\nrecent_runs = 0\n"),
        "writeback.toml:2:19: `read_change_max` is `half`, which is not a percentage\n  \
         hint: write it as in `\"50 %\"` or `\"0.5 %\"`\n\
         writeback.toml:3:15: `recent_runs` is not a whole number from 1 to 1000\n"
    );
}
