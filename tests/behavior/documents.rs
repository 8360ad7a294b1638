//! README.md and the pages of `docs/` are true: their stories go as they stand there, their
//! commands are understood, their links lead somewhere.

use std::path::{Path, PathBuf};

use crate::harness::Workspace;

/// What a reader is asked to take in before anything else, in bytes.
const README_BYTES_MAX: usize = 12_000;

/// One page.
struct Page {
    path: PathBuf,
    text: String,
}

/// A fenced block of a page, with the language it names.
struct Block<'p> {
    language: &'p str,
    text: String,
}

impl Page {
    /// Panics: if the repository has no such page.
    fn of(path: PathBuf) -> Self {
        let text = std::fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self { path, text }
    }

    fn blocks(&self) -> Vec<Block<'_>> {
        let mut blocks: Vec<Block> = Vec::new();
        let mut is_inside = false;
        for line in self.text.lines() {
            match (line.strip_prefix("```"), blocks.last_mut()) {
                (Some(language), _) if !is_inside => {
                    is_inside = true;
                    let text = String::new();
                    blocks.push(Block { language, text });
                }
                (Some(_), _) => is_inside = false,
                (None, Some(block)) if is_inside => block.text += &format!("{line}\n"),
                (None, _) => {}
            }
        }
        blocks
    }

    /// The page without its blocks, where links and anchors are.
    fn prose(&self) -> String {
        let outside = self.text.split("```").step_by(2);
        outside.collect()
    }

    fn anchors(&self) -> Vec<String> {
        let headings = self.prose();
        let headings = headings.lines().filter(|line| line.starts_with('#'));
        headings
            .map(|line| {
                let kept = line.trim_start_matches('#').trim().to_lowercase();
                let kept = kept.chars().filter_map(|letter| match letter {
                    ' ' => Some('-'),
                    letter if letter.is_alphanumeric() || letter == '-' => Some(letter),
                    _ => None,
                });
                kept.collect()
            })
            .collect()
    }
}

/// README.md, and the pages of `docs/` and `docs/deploy/`.
fn pages() -> Vec<Page> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = vec![root.join("README.md")];
    for folder in ["docs", "docs/deploy"] {
        let files = std::fs::read_dir(root.join(folder)).expect(folder);
        let files = files.map(|file| file.expect(folder).path());
        paths.extend(files.filter(|path| path.extension().is_some_and(|is| is == "md")));
    }
    paths.into_iter().map(Page::of).collect()
}

#[test]
fn the_readme_is_short() {
    let readme = &pages()[0];
    let bytes = readme.text.len();
    assert!(bytes <= README_BYTES_MAX, "README.md has {bytes} bytes");
}

#[test]
fn the_readme_s_first_command_makes_what_it_shows() {
    let readme = &pages()[0];
    let blocks = readme.blocks();
    let [first, shown] = [&blocks[0], &blocks[1]];
    let arguments = first
        .text
        .trim_end()
        .strip_prefix("cargo run -- ")
        .unwrap_or_else(|| panic!("the first command is `{}`", first.text));
    let place = Workspace::example();
    assert!(
        !place.path("fixtures/crm.db").exists(),
        "the demo CRM is made by the command itself"
    );
    let run = place.command(&arguments.split(' ').collect::<Vec<_>>());
    assert_eq!(run.code, 1, "{run}");
    let told: Vec<String> = run.stdout.lines().map(timeless).collect();
    let shown: Vec<String> = shown.text.lines().map(timeless).collect();
    assert_eq!(told, shown, "{run}");
    assert!(place.path("fixtures/crm.db").exists());
}

/// A `console` block is a story: each is told in a project of its own, from its first command to
/// its last, and what the program prints is what stands there. `…` stands for any lines.
#[test]
fn every_story_goes_as_it_stands_there() {
    let mut stories = 0;
    for page in pages() {
        for block in page.blocks() {
            if block.language == "console" {
                tell(&page, &block.text);
                stories += 1;
            }
        }
    }
    assert!(stories >= 4, "{stories} stories");
}

fn tell(page: &Page, story: &str) {
    let place = Workspace::example();
    for step in story.split("$ ").skip(1) {
        let (command, expected) = step.split_once('\n').expect("a line");
        let told = carry_out(&place, command);
        let mut lines = told.lines().map(timeless);
        let mut is_gap = false;
        for line in expected.lines() {
            match line {
                "…" => is_gap = true,
                line if is_gap => {
                    is_gap = false;
                    assert!(
                        lines.any(|told| told == timeless(line)),
                        "{}: `{line}` is missing of `{command}`:\n{told}",
                        page.path.display()
                    );
                }
                line => assert_eq!(
                    lines.next(),
                    Some(timeless(line)),
                    "{}: `{command}`:\n{told}",
                    page.path.display()
                ),
            }
        }
        let rest = lines.next().filter(|_| !is_gap);
        assert_eq!(rest, None, "{}: `{command}`:\n{told}", page.path.display());
    }
}

/// What a line of a story prints on stdout.
fn carry_out(place: &Workspace, command: &str) -> String {
    if let Some(statement) = command.strip_prefix("sqlite3 fixtures/crm.db ") {
        place.execute_file("fixtures/crm.db", statement.trim_matches('"'));
        return String::new();
    }
    if let Some(arguments) = command.strip_prefix("writeback ") {
        let arguments: Vec<&str> = arguments.split(' ').collect();
        return place.command(&arguments).stdout;
    }
    let output = std::process::Command::new("sh")
        .args(["-c", command])
        .current_dir(place.path("."))
        .output()
        .expect("a shell");
    assert!(output.status.success(), "{command}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// A line without how long it took, and when it was, which stand at its end.
fn timeless(line: &str) -> String {
    let mut words: Vec<&str> = line.split(' ').collect();
    let of_time = match words.last() {
        Some(&"s") => 2,
        Some(&"UTC") => 3,
        _ => 0,
    };
    words.truncate(words.len() - of_time);
    words.join(" ")
}

/// The words of a command line of the program, without its name; `None` of any other line.
fn words_of_command(line: &str) -> Option<Vec<&str>> {
    let line = line.trim_start();
    let line = line.strip_prefix("$ ").unwrap_or(line);
    let ours = line.strip_prefix("writeback ").or_else(|| {
        let behind = line.split_once("&& writeback ")?;
        Some(behind.1)
    })?;
    let ours = ours.split(" >>").next()?.split(" | ").next()?;
    Some(ours.split_whitespace().collect())
}

#[test]
fn every_command_line_is_understood() {
    let place = Workspace::example();
    let mut lines = 0;
    for page in pages() {
        for block in page.blocks() {
            if !["sh", "console", "text"].contains(&block.language) {
                continue;
            }
            for line in block.text.lines() {
                let Some(mut words) = words_of_command(line) else {
                    continue;
                };
                while let ["--project", _, ..] = words.as_slice() {
                    words.drain(..2);
                }
                lines += 1;
                let path = page.path.display();
                let help = place.command(&[words[0].trim_end_matches(','), "--help"]);
                assert_eq!(help.code, 0, "{path}: `{line}`: {help}");
                for flag in words.iter().map(|word| word.trim_matches(['[', ']', '`'])) {
                    let is_known = !flag.starts_with("--") || help.stdout.contains(flag);
                    assert!(is_known, "{path}: `{line}`: {flag} of {help}");
                }
            }
        }
    }
    assert!(lines > 40, "{lines} command lines");
}

#[test]
fn every_settings_block_is_toml() {
    for page in pages() {
        for block in page
            .blocks()
            .iter()
            .filter(|block| block.language == "toml")
        {
            let read = block.text.parse::<toml::Table>();
            let path = page.path.display();
            assert!(read.is_ok(), "{path}: {read:?}:\n{}", block.text);
        }
    }
}

#[test]
fn every_link_leads_somewhere() {
    let mut links = 0;
    for page in pages() {
        let prose = page.prose();
        let targets = prose.split("](").skip(1);
        let targets = targets.filter_map(|rest| rest.split(')').next());
        let images = prose.split("src=\"").skip(1);
        let images = images.filter_map(|rest| rest.split('"').next());
        for target in targets.chain(images) {
            if target.starts_with("https://") {
                continue;
            }
            links += 1;
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let to = match file {
                "" => page.path.clone(),
                file => page.path.parent().expect("a folder").join(file),
            };
            let from = page.path.display();
            assert!(to.exists(), "{from}: `{target}` leads nowhere");
            let is_there =
                anchor.is_empty() || Page::of(to).anchors().iter().any(|is| is == anchor);
            assert!(is_there, "{from}: `{target}` has no such heading");
        }
    }
    assert!(links > 30, "{links} links");
}
