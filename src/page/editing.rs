//! Editing the project's files: the same bytes but for what was changed. First the difference is
//! shown and the whole project checked as it would be; then the file is written, if it is still
//! what the edit began from.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, fchown, symlink};
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use axum::Form;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::task::block_in_place;

use super::frame::Frame;
use super::house::House;
use super::refusal::Refusal;
use super::{files, paths, problems};
use crate::config::PROJECT_FILE;
use crate::domain::edited::{Changed, difference, edited, shown};
use crate::domain::printable::hexadecimal;
use crate::domain::problem::{Problem, Severity};
use crate::state::{self, AsideFile};

/// Bytes of a file that is edited here.
const BYTES_MAX: u64 = 256 * 1024;

const LOCK_FILE: &str = "edit.lock";

/// A file as it was read.
pub(super) struct FileRead {
    place: PathBuf,
    bytes: Vec<u8>,
}

impl FileRead {
    /// Its text without a byte order mark. Errors: it cannot be edited in a form.
    pub(super) fn text(&self) -> Result<String, Refusal> {
        shown(&self.bytes).map_err(unfit)
    }

    /// Tells its bytes from others.
    pub(super) fn digest(&self) -> String {
        hexadecimal(&Sha256::digest(&self.bytes))
    }
}

/// What a form brings.
#[derive(Debug, Deserialize)]
pub(super) struct EditForm {
    /// Digest of what the edit began from.
    base: String,
    text: String,
    /// Absent while the difference is only shown.
    write: Option<String>,
}

impl EditForm {
    /// An edit whose difference is only to be shown.
    pub(super) fn proposed(file: &FileRead, text: String) -> Self {
        Self {
            base: file.digest(),
            text,
            write: None,
        }
    }
}

pub(super) fn unfit(why: &str) -> Refusal {
    let refusal = Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, why);
    refusal.hint("edit it with an editor, where it is")
}

/// Errors: files are not edited here, or not this one.
pub(super) fn read(house: &House, frame: &Frame, name: &str) -> Result<FileRead, Refusal> {
    if !files::may_edit(frame, name) {
        frame.caller.expect_every_job()?;
    }
    if !house.settings.edit {
        let title = "files are not edited on this page";
        let hint = "`edit = true` in `[page]` of writeback.toml lets admins do it, once the page is shown anew";
        return Err(Refusal::new(StatusCode::FORBIDDEN, title).hint(hint));
    }
    if name == PROJECT_FILE {
        let title = "the project file is edited where it is: secrets may stand in it";
        return Err(Refusal::new(StatusCode::FORBIDDEN, title));
    }
    let absent = || Refusal::absent(format!("there is no file `{name}` that makes the project"));
    let place = files::file_of(&house.root, name).ok_or_else(absent)?;
    let is_long = fs::metadata(&place).map_or(true, |found| found.len() > BYTES_MAX);
    if is_long {
        return Err(unfit("it is too long to be edited here"));
    }
    let bytes = fs::read(&place).map_err(|_| absent())?;
    Ok(FileRead { place, bytes })
}

pub(super) async fn form(
    State(house): State<Arc<House>>,
    frame: Frame,
    Path(name): Path<String>,
) -> Result<Markup, Refusal> {
    let file = block_in_place(|| read(&house, &frame, &name))?;
    let content = html! {
        p { "Nothing is written before the difference was shown and checked." }
        (text_form(&name, &file.digest(), &file.text()?))
    };
    Ok(frame.page_within(&format!("Edit {name}"), &above(&frame, &name), content))
}

fn above<'a>(frame: &Frame, name: &'a str) -> Vec<(String, &'a str)> {
    let address = format!("/files/{}", paths::encoded_path(name));
    let mut above: Vec<(String, &str)> = files::above(frame);
    above.push((address, name));
    above
}

/// A newline that directly follows the element's begin is no part of its text.
fn text_form(name: &str, base: &str, text: &str) -> Markup {
    html! {
        form method="post" action=(format!("/edit/{}", paths::encoded_path(name))) {
            input type="hidden" name="base" value=(base);
            label for="text" { "The file" }
            textarea.whole #text name="text" rows=(text.lines().count().clamp(8, 40) + 2) spellcheck="false" { "\n" (text) }
            p.line { button.primary { "Show the difference" }
                a href=(format!("/files/{}", paths::encoded_path(name))) { "Leave it as it is" } }
        }
    }
}

pub(super) async fn submit(
    State(house): State<Arc<House>>,
    frame: Frame,
    Path(name): Path<String>,
    Form(sent): Form<EditForm>,
) -> Result<Response, Refusal> {
    let file = block_in_place(|| read(&house, &frame, &name))?;
    let is_moved = file.digest() != sent.base;
    let proposed = block_in_place(|| propose(&house, &name, &file, &sent.text))?;
    let mut refused = None;
    if sent.write.is_some() && !is_moved && proposed.mistakes.is_empty() {
        match put(&house, &frame, &name, &sent.base, &sent.text).await {
            Ok(_) => {
                let address = format!("/files/{}", paths::encoded_path(&name));
                return Ok(Redirect::to(&address).into_response());
            }
            Err(refusal) => refused = Some(refusal),
        }
    }
    let after = shown(&proposed.bytes).map_err(unfit)?;
    let content = html! {
        @if is_moved { p.refused { "The file was changed since you began: this is the difference to what it holds now. "
            "Look whether it is still what you want." } }
        @if let Some(refusal) = &refused { (refusal.words()) }
        h2 { "The difference" }
        (difference_shown(&file.text()?, &after))
        h2 { "The check" }
        @if proposed.mistakes.is_empty() { p { span.good { "✓" } " No mistake in the files as they would be." } }
        @else { (problems::list(&proposed.mistakes)) }
        @if proposed.mistakes.is_empty() && proposed.bytes != file.bytes && refused.is_none() {
            form method="post" action=(format!("/edit/{}", paths::encoded_path(&name))) {
                input type="hidden" name="base" value=(file.digest());
                input type="hidden" name="write" value="1";
                // A hidden field would lose its line ends.
                textarea hidden name="text" aria-hidden="true" { "\n" (after) }
                button.primary { "Write " (name) }
            }
        }
        h2 { "Change it further" }
        (text_form(&name, &file.digest(), &after))
    };
    let page = frame.page_within(&format!("Edit {name}"), &above(&frame, &name), content);
    if let Some(refusal) = refused {
        return Ok((refusal.status(), page).into_response());
    }
    let status = match (is_moved, proposed.mistakes.is_empty(), sent.write.is_some()) {
        (true, ..) => StatusCode::CONFLICT,
        (false, false, true) => StatusCode::UNPROCESSABLE_ENTITY,
        (false, ..) => StatusCode::OK,
    };
    Ok((status, page).into_response())
}

fn difference_shown(before: &str, after: &str) -> Markup {
    let lines = difference(before, after);
    html! {
        @if lines.is_empty() { p.empty { "Nothing differs." } }
        @else { pre.difference tabindex="0" role="region" aria-label="The difference" {
            @for (kind, line) in &lines {
                @let class = match kind {
                    Changed::Place => "place", Changed::Kept => "kept", Changed::Removed => "removed", Changed::Added => "added",
                };
                span.(class) { (line) }
            }
        } }
    }
}

/// A file as it would be, and what would be wrong then that is not now.
struct Proposed {
    bytes: Vec<u8>,
    mistakes: Vec<Problem>,
}

fn propose(house: &House, name: &str, file: &FileRead, text: &str) -> Result<Proposed, Refusal> {
    let bytes = edited(&file.bytes, text).map_err(unfit)?;
    let mistakes = mistakes_with(&house.root, name, &bytes).map_err(|error| {
        Refusal::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("the project could not be checked: {error}"),
        )
    })?;
    Ok(Proposed { bytes, mistakes })
}

/// Mistakes of the project with these bytes in one file: all of that file, and of others those that
/// are not there now.
fn mistakes_with(root: &FilePath, name: &str, bytes: &[u8]) -> io::Result<Vec<Problem>> {
    let root = fs::canonicalize(root)?;
    let folder = tempfile::tempdir()?;
    stand_in(&root, folder.path(), FilePath::new(name), bytes)?;
    let now = problems::find_in(&root).problems;
    let told = |problem: &Problem| {
        let file = problem
            .location
            .as_ref()
            .map(|location| location.file.to_string());
        (file, problem.message.clone())
    };
    let known: Vec<_> = now.iter().map(told).collect();
    let (there, here) = (
        folder.path().display().to_string(),
        root.display().to_string(),
    );
    let mut found = problems::find_in(folder.path()).problems;
    for problem in &mut found {
        problem.message = problem.message.replace(&there, &here);
    }
    found.retain(|problem| {
        let own = problem
            .location
            .as_ref()
            .is_some_and(|location| *location.file == *name);
        problem.severity == Severity::Mistake && (own || !known.contains(&told(problem)))
    });
    Ok(found)
}

/// Makes a project in `copy` that is as the one in `root`, but for one file. What lies in other
/// folders than that file is reached by links.
fn stand_in(root: &FilePath, copy: &FilePath, name: &FilePath, bytes: &[u8]) -> io::Result<()> {
    let mut parts = name.components();
    let own = parts.next().map(|part| part.as_os_str().to_owned());
    let rest = parts.as_path();
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        let (from, to) = (entry.path(), copy.join(entry.file_name()));
        if Some(entry.file_name()) != own {
            match from.is_file() {
                true => drop(fs::copy(&from, &to)?),
                false => symlink(&from, &to)?,
            }
        } else if rest.as_os_str().is_empty() {
            fs::write(&to, bytes)?;
        } else {
            fs::create_dir(&to)?;
            stand_in(&from, &to, rest, bytes)?;
        }
    }
    Ok(())
}

/// Writes a file, if it is still what the edit began from and the project stays without mistakes.
/// Writes down who did it. Returns the digest of what it holds then.
pub(super) async fn put(
    house: &House,
    frame: &Frame,
    name: &str,
    base: &str,
    text: &str,
) -> Result<String, Refusal> {
    let written = block_in_place(|| write(house, frame, name, base, text));
    let result = match &written {
        Ok(_) => "done",
        Err(refusal) => refusal.title(),
    };
    let arguments = json!({ "before": base, "after": written.as_ref().ok() }).to_string();
    let mut action = frame.caller.action("edit", result);
    action.target = Some(name);
    action.arguments = Some(&arguments);
    action.seen = Some(base);
    house.ledger.record_action(&action).await?;
    written
}

fn write(
    house: &House,
    frame: &Frame,
    name: &str,
    base: &str,
    text: &str,
) -> Result<String, Refusal> {
    let _lock = lock(house)?;
    let file = read(house, frame, name)?;
    if file.digest() != base {
        let title = format!("`{name}` was changed since the edit began");
        return Err(Refusal::new(StatusCode::CONFLICT, title).hint("read it again, then edit"));
    }
    let proposed = propose(house, name, &file, text)?;
    if !proposed.mistakes.is_empty() {
        return Err(Refusal::mistakes(proposed.mistakes));
    }
    replace(&file.place, &file.bytes, &proposed.bytes).map_err(|error| unwritten(name, &error))?;
    Ok(hexadecimal(&Sha256::digest(&proposed.bytes)))
}

fn unwritten(name: &str, error: &io::Error) -> Refusal {
    let title = format!("`{name}` could not be written: {error}");
    let hint = "copy the difference and make it where the files come from";
    Refusal::new(StatusCode::CONFLICT, title).hint(hint)
}

/// One edit at a time, whichever process makes it.
fn lock(house: &House) -> Result<File, Refusal> {
    let folder = &house.state_folder;
    let locked = state::make_folder(folder)
        .and_then(|()| {
            File::options()
                .create(true)
                .append(true)
                .open(folder.join(LOCK_FILE))
        })
        .and_then(|file| file.lock().map(|()| file));
    locked.map_err(|error| {
        let title = format!("the lock for edits could not be taken: {error}");
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, title)
    })
}

/// Puts a file in place of one that holds `old`, with the same owner and mode.
fn replace(place: &FilePath, old: &[u8], new: &[u8]) -> io::Result<()> {
    let before = fs::metadata(place)?;
    let aside = AsideFile::create_in_users_folder(place)?;
    aside.file().write_all(new)?;
    aside.file().set_permissions(before.permissions())?;
    let made = aside.file().metadata()?;
    if (made.uid(), made.gid()) != (before.uid(), before.gid()) {
        fchown(aside.file(), Some(before.uid()), Some(before.gid()))?;
    }
    // An editor may have saved it in the meantime.
    if fs::read(place)? != old {
        return Err(io::Error::other("it was changed just now"));
    }
    aside.place()
}
