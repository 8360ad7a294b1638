//! What the house may look like: which modules of `src/` lean on one another in a circle, and which
//! names stand for two things. Reads the sources as text, so that it needs no compiler's help and
//! tells in a second.
//!
//! `cargo test --test structure -- --nocapture` prints what was found. A bound is never raised.
//!
//! A name *speaks its module* if whoever is elsewhere says `module::Name` and does not bring the
//! bare name in: `postgres::Session` beside `mysql::Session`. One type of each name may be spoken
//! bare everywhere; where a second one is, too, the name stands for several. Of its family, which
//! may say the bare name, are the module itself, its parent and what stands within it.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test that fails may panic, and tells what it found"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Modules that may lean on one another in one circle.
const CIRCLE_MODULES_MAX: usize = 4;
/// Rooms at the top of `src/` that may lean on one another in a circle: none.
const ROOMS_IN_CIRCLES_MAX: usize = 0;
/// Lines of the table of contents of a run.
const CARRY_OUT_LINES_MAX: usize = 250;

/// Public names that stand for several types though some are spoken without their module, each with
/// the reason for it. The list only shrinks.
const NAMES_OF_SEVERAL: &[(&str, &str)] = &[
    (
        "Access",
        "of a driver's settings and of a file; the drivers' is to speak its module",
    ),
    (
        "Fate",
        "of a cycle and of a sending; the sending's is to be renamed",
    ),
    (
        "Purpose",
        "of a session, with either driver; both are to speak their modules",
    ),
    (
        "Session",
        "with either driver; both are to speak their modules",
    ),
    (
        "Until",
        "of a parking and of what a plan remembers; the plan's is to be renamed",
    ),
];

#[test]
fn no_large_circle_of_modules_stands_in_the_house() {
    let house = House::read();
    let circles = circles(&house.leanings);
    for circle in &circles {
        println!("a circle of {}:", circle.len());
        for module in circle {
            let within: Vec<&str> = house.leanings[module]
                .iter()
                .filter(|other| circle.contains(*other))
                .map(String::as_str)
                .collect();
            println!("    {module} -> {}", within.join(", "));
        }
    }
    for circle in &circles {
        let room = circle
            .first()
            .map_or(String::new(), |module| room_of(module));
        hold_to(
            &format!("a circle of `{room}`"),
            CIRCLE_MODULES_MAX,
            circle.len(),
        );
    }
}

#[test]
fn no_rooms_lean_on_one_another() {
    let house = House::read();
    let rooms = gathered(&house.leanings, room_of);
    let circles = circles(&rooms);
    for circle in &circles {
        println!("rooms in a circle: {circle:?}");
    }
    let in_circles = circles.iter().map(BTreeSet::len).sum();
    hold_to("ROOMS_IN_CIRCLES_MAX", ROOMS_IN_CIRCLES_MAX, in_circles);
}

#[test]
fn a_public_types_name_is_its_own_or_is_spoken_with_its_module() {
    let house = House::read();
    let several = house.names_of_several();
    for (name, modules) in &several {
        println!("`{name}` names a type of {}", modules.join(", "));
    }
    let accepted: BTreeSet<&str> = NAMES_OF_SEVERAL.iter().map(|(name, _)| *name).collect();
    let found: BTreeSet<&str> = several.keys().map(String::as_str).collect();
    let new: Vec<_> = found.difference(&accepted).collect();
    assert!(
        new.is_empty(),
        "{new:?}: give each a name of its own, or let every other room say `module::Name`"
    );
    let gone: Vec<_> = accepted.difference(&found).collect();
    assert!(
        gone.is_empty(),
        "take {gone:?} off the list of NAMES_OF_SEVERAL"
    );
}

#[test]
fn the_table_of_contents_of_a_run_stays_one() {
    let text = fs::read_to_string(sources().join("run/mod.rs")).expect("a run has a mod.rs");
    hold_to(
        "CARRY_OUT_LINES_MAX",
        CARRY_OUT_LINES_MAX,
        text.lines().count(),
    );
}

fn hold_to(bound: &str, most: usize, found: usize) {
    println!("{bound}: {found}");
    assert!(
        found <= most,
        "{found} are more than {bound}, which is {most}"
    );
}

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Modules by their paths from the root of the crate (`run::push`; the root itself is `crate`), and
/// what each leans on.
type Leanings = BTreeMap<String, BTreeSet<String>>;

/// The room at the top of `src/` that a module stands in.
fn room_of(module: &str) -> String {
    module.split("::").next().unwrap_or(module).to_owned()
}

/// The leanings of what modules are gathered into.
fn gathered(leanings: &Leanings, into: impl Fn(&str) -> String) -> Leanings {
    let mut rooms = Leanings::new();
    for (module, others) in leanings {
        let room = into(module);
        let elsewhere = others.iter().map(|other| into(other));
        let elsewhere: Vec<String> = elsewhere.filter(|other| *other != room).collect();
        rooms.entry(room).or_default().extend(elsewhere);
    }
    rooms
}

/// Sets of modules of which each leads to every other; largest first.
fn circles(leanings: &Leanings) -> Vec<BTreeSet<String>> {
    let reaches: BTreeMap<&str, BTreeSet<&str>> = leanings
        .keys()
        .map(|module| (module.as_str(), reached_from(module, leanings)))
        .collect();
    let circle = |module: &str| -> BTreeSet<String> {
        let others = reaches[module].iter();
        let back = others.filter(|other| reaches[*other].contains(module));
        back.map(|other| (*other).to_owned()).collect()
    };
    let found: BTreeSet<BTreeSet<String>> = leanings.keys().map(|module| circle(module)).collect();
    let mut found: Vec<_> = found
        .into_iter()
        .filter(|circle| circle.len() > 1)
        .collect();
    found.sort_by_key(|circle| std::cmp::Reverse(circle.len()));
    found
}

fn reached_from<'a>(module: &str, leanings: &'a Leanings) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut ahead: Vec<&str> = vec![module];
    while let Some(at) = ahead.pop() {
        for other in leanings.get(at).into_iter().flatten() {
            if reached.insert(other.as_str()) {
                ahead.push(other);
            }
        }
    }
    reached
}

/// All modules of `src/` but those of tests.
struct House {
    modules: BTreeMap<String, Module>,
    leanings: Leanings,
}

/// What the text of one module says.
#[derive(Default)]
struct Module {
    /// Names that it brings in or hands on, and the paths that they stand for.
    names: BTreeMap<String, Vec<String>>,
    /// Paths that it says anywhere, its imports among them.
    paths: Vec<Vec<String>>,
    /// Types that other modules may see.
    types: BTreeSet<String>,
    /// Modules that it declares, unless they are for tests.
    children: BTreeSet<String>,
}

impl House {
    fn read() -> Self {
        let mut modules = BTreeMap::new();
        read_module("crate", &sources().join("lib.rs"), &mut modules);
        let mut house = Self {
            modules,
            leanings: Leanings::new(),
        };
        house.leanings = house
            .modules
            .keys()
            .map(|name| (name.clone(), house.leans_on(name)))
            .collect();
        // The root declares the rooms and is none of them.
        house.leanings.remove("crate");
        house
    }

    fn leans_on(&self, name: &str) -> BTreeSet<String> {
        let paths = self.modules[name].paths.iter();
        let others = paths.filter_map(|path| self.home_of(name, path).map(|(home, _)| home));
        others
            .filter(|home| home != name && home != "crate")
            .collect()
    }

    /// The module that a path leads to from another, and what of the path names things in it. What
    /// a module only hands on is sought where it stands.
    fn home_of(&self, from: &str, path: &[String]) -> Option<(String, Vec<String>)> {
        let mut at = from.to_owned();
        let mut rest = path;
        let mut is_below = false;
        while let [first, after @ ..] = rest {
            match first.as_str() {
                "crate" => at = "crate".to_owned(),
                "self" => {}
                "super" => at = parent_of(&at),
                name if self.modules[&at].children.contains(name) => at = child_of(&at, name),
                name => {
                    let stands_for = self.modules[&at].names.get(name)?;
                    // A name that stands for itself is one of another crate.
                    if stands_for.first() == path.first()
                        && at == from
                        && !is_below
                        && stands_for == path
                    {
                        return None;
                    }
                    let (home, below) = self.home_of(&at, stands_for)?;
                    let rest = [below.as_slice(), after].concat();
                    return match rest.as_slice() {
                        [] => Some((home, rest)),
                        _ if self.modules[&home].children.contains(&rest[0]) => {
                            self.home_of(&home, &rest)
                        }
                        _ => Some((home, rest)),
                    };
                }
            }
            is_below = true;
            rest = after;
            if let [name, ..] = rest {
                let module = &self.modules[&at];
                if !matches!(name.as_str(), "self" | "super" | "crate")
                    && !module.children.contains(name)
                    && !module.names.contains_key(name)
                {
                    return Some((at, rest.to_vec()));
                }
            }
        }
        Some((at, Vec::new()))
    }

    /// Names of several public types, of which more than one is brought into another room's module
    /// by its bare name; with the modules that define them.
    fn names_of_several(&self) -> BTreeMap<String, Vec<String>> {
        let mut homes: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (module, Module { types, .. }) in &self.modules {
            for name in types {
                homes.entry(name).or_default().insert(module);
            }
        }
        let mut bare: BTreeSet<(String, String)> = BTreeSet::new();
        for (module, Module { names, .. }) in &self.modules {
            for path in names.values() {
                if let Some((home, below)) = self.home_of(module, path)
                    && let [name] = below.as_slice()
                    && !is_of_its_family(&home, module)
                {
                    bare.insert((name.clone(), home));
                }
            }
        }
        let mut several = BTreeMap::new();
        for (name, modules) in homes {
            let spoken = modules
                .iter()
                .filter(|module| bare.contains(&(name.to_owned(), (**module).to_owned())));
            if modules.len() > 1 && spoken.count() > 1 {
                several.insert(
                    name.to_owned(),
                    modules.iter().map(|module| (*module).to_owned()).collect(),
                );
            }
        }
        several
    }
}

/// Whether a module stands where the names of another need no more said: it is that module, its
/// parent, or stands within it.
fn is_of_its_family(home: &str, module: &str) -> bool {
    module == home || module == parent_of(home) || module.starts_with(&format!("{home}::"))
}

fn child_of(module: &str, name: &str) -> String {
    match module {
        "crate" => name.to_owned(),
        _ => format!("{module}::{name}"),
    }
}

fn parent_of(module: &str) -> String {
    module
        .rsplit_once("::")
        .map_or_else(|| "crate".to_owned(), |(parent, _)| parent.to_owned())
}

fn read_module(name: &str, file: &Path, modules: &mut BTreeMap<String, Module>) {
    let text =
        fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let module = Module::of(&words_of(&text));
    let folder = match file.file_name().and_then(|name| name.to_str()) {
        Some("lib.rs" | "mod.rs") => file.parent().expect("a file has a folder").to_owned(),
        _ => file.with_extension(""),
    };
    for child in &module.children {
        let beside = folder.join(format!("{child}.rs"));
        let within = folder.join(child).join("mod.rs");
        let file = if beside.exists() { beside } else { within };
        read_module(&child_of(name, child), &file, modules);
    }
    modules.insert(name.to_owned(), module);
}

impl Module {
    fn of(words: &[String]) -> Self {
        let mut module = Self::default();
        let mut at = 0;
        while let Some(word) = words.get(at) {
            at = match word.as_str() {
                "#" if is_for_tests(&words[at..]) => past_item(words, at),
                "mod" if words.get(at + 2).is_some_and(|end| end == ";") => {
                    module.children.insert(words[at + 1].clone());
                    at + 3
                }
                // Who may see an item says nothing of what the module leans on.
                "pub" if words.get(at + 2).is_some_and(|word| word == "in") => (at..words.len())
                    .find(|end| words[*end] == ")")
                    .unwrap_or(at),
                "use" => module.take_use(words, at + 1),
                "struct" | "enum" | "trait" | "type" | "union" if is_public(words, at) => {
                    module.types.insert(words[at + 1].clone());
                    at + 2
                }
                _ => module.take_path(words, at),
            };
        }
        // Paths that begin with a child, or with what an import brings in, lead there too.
        let (children, names) = (&module.children, &module.names);
        module
            .paths
            .retain(|path| match path.first().map(String::as_str) {
                Some("crate" | "super" | "self") => true,
                Some(first) => {
                    children.contains(first) || (path.len() > 1 && names.contains_key(first))
                }
                None => false,
            });
        module
    }

    /// Takes the paths of a `use`, from past that word; gives the place past its end.
    fn take_use(&mut self, words: &[String], begin: usize) -> usize {
        let end = (begin..words.len())
            .find(|at| words[*at] == ";")
            .unwrap_or(words.len());
        for (path, name) in paths_of_use(&words[begin..end]) {
            if let Some(name) = name {
                self.names.insert(name, path.clone());
            }
            self.paths.push(path);
        }
        end + 1
    }

    /// Takes the path that begins at a word, if it is one; gives the place past it.
    fn take_path(&mut self, words: &[String], begin: usize) -> usize {
        let is_name = |at: usize| words.get(at).is_some_and(|word| is_word(word));
        let is_step = |at: usize| words.get(at).is_some_and(|word| word == "::");
        if !is_name(begin) {
            return begin + 1;
        }
        let mut path = vec![words[begin].clone()];
        let mut at = begin + 1;
        while is_step(at) && is_name(at + 1) {
            path.push(words[at + 1].clone());
            at += 2;
        }
        if path.len() > 1 {
            self.paths.push(path);
        }
        at
    }
}

/// The paths of a `use` without its end, each with the name that it brings in; none for a glob.
fn paths_of_use(words: &[String]) -> Vec<(Vec<String>, Option<String>)> {
    let mut prefix = Vec::new();
    let mut at = 0;
    while let Some(word) = words.get(at) {
        match word.as_str() {
            "::" => {}
            "{" => {
                let inner = &words[at + 1..words.len() - 1];
                let branches = at_commas(inner).into_iter().flat_map(paths_of_use);
                return branches
                    .map(|(path, name)| {
                        let whole: Vec<String> = match path.as_slice() {
                            [only] if only == "self" => prefix.clone(),
                            _ => prefix.iter().cloned().chain(path).collect(),
                        };
                        let name = match name.as_deref() {
                            Some("self") => whole.last().cloned(),
                            _ => name,
                        };
                        (whole, name)
                    })
                    .collect();
            }
            "*" => return vec![(prefix, None)],
            "as" => {
                let name = words.get(at + 1).cloned();
                return vec![(prefix, name.filter(|name| name != "_"))];
            }
            _ => prefix.push(word.clone()),
        }
        at += 1;
    }
    let name = prefix.last().cloned();
    if prefix.is_empty() {
        Vec::new()
    } else {
        vec![(prefix, name)]
    }
}

/// Splits at the commas that stand in no inner braces.
fn at_commas(words: &[String]) -> Vec<&[String]> {
    let mut depth = 0_usize;
    words
        .split(|word| {
            match word.as_str() {
                "{" => depth += 1,
                "}" => depth -= 1,
                _ => {}
            }
            word == "," && depth == 0
        })
        .collect()
}

fn is_public(words: &[String], at: usize) -> bool {
    let before = |back: usize| {
        at.checked_sub(back)
            .and_then(|at| words.get(at))
            .map(String::as_str)
    };
    before(1) == Some("pub")
        || (before(1) == Some(")") && before(2) == Some("crate") && before(4) == Some("pub"))
}

fn is_for_tests(words: &[String]) -> bool {
    let attribute = ["#", "[", "cfg", "(", "test", ")", "]"];
    words
        .iter()
        .zip(attribute)
        .filter(|(word, wanted)| word == wanted)
        .count()
        == attribute.len()
}

/// The place past the item that stands here with its attributes.
fn past_item(words: &[String], begin: usize) -> usize {
    let mut depth = 0_usize;
    for (at, word) in words.iter().enumerate().skip(begin) {
        match word.as_str() {
            "{" | "(" | "[" => depth += 1,
            ")" | "]" => depth -= 1,
            "}" => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            ";" if depth == 0 => return at + 1,
            _ => {}
        }
    }
    words.len()
}

fn is_word(word: &str) -> bool {
    word.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

/// The words and signs of a source, without its comments, texts and lifetimes.
fn words_of(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let taken = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(text) = text_length(rest) {
            text
        } else if first.is_alphabetic() || first == '_' {
            let end = rest
                .find(|next: char| !next.is_alphanumeric() && next != '_')
                .unwrap_or(rest.len());
            words.push(rest[..end].to_owned());
            end
        } else if rest.starts_with("::") {
            words.push("::".to_owned());
            2
        } else {
            if !first.is_whitespace() {
                words.push(first.to_string());
            }
            first.len_utf8()
        };
        rest = &rest[taken..];
    }
    words
}

/// The length of the text, character or lifetime that a source begins with.
fn text_length(source: &str) -> Option<usize> {
    let unprefixed = source.trim_start_matches(['b', 'c']);
    let prefix = source.len() - unprefixed.len();
    if prefix <= 1 {
        if let Some(raw) = unprefixed.strip_prefix('r') {
            let hashes = raw.len() - raw.trim_start_matches('#').len();
            if raw[hashes..].starts_with('"') {
                let end = format!("\"{}", "#".repeat(hashes));
                let inner = &raw[hashes + 1..];
                let length = inner.find(&end).map_or(inner.len(), |at| at + end.len());
                return Some(prefix + 1 + hashes + 1 + length);
            }
        }
        if unprefixed.starts_with('"') {
            return Some(prefix + quoted_length(unprefixed, '"'));
        }
    }
    let after = source.strip_prefix('\'')?;
    let mut inner = after.chars();
    match (inner.next()?, inner.next()) {
        ('\\', _) => Some(quoted_length(source, '\'')),
        (only, Some('\'')) => Some(1 + only.len_utf8() + 1),
        _ => Some(
            1 + after
                .find(|next: char| !next.is_alphanumeric() && next != '_')
                .unwrap_or(0),
        ),
    }
}

/// The length of what stands between two `quote`s, with them.
fn quoted_length(source: &str, quote: char) -> usize {
    let mut is_escaped = false;
    for (at, next) in source.char_indices().skip(1) {
        match next {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            _ if next == quote => return at + 1,
            _ => {}
        }
    }
    source.len()
}

#[test]
fn words_leave_out_comments_texts_and_lifetimes() {
    let source = r##"fn a<'b>(c: &'b str) { d("use crate::e;", 'f', '\'', r#"g"h"#, b"i"); } // j
        /* k */ use crate::l;"##;
    let words = words_of(source).join(" ");
    assert_eq!(
        words,
        "fn a < > ( c : & str ) { d ( , , , , ) ; } use crate :: l ;"
    );
}

#[test]
fn an_import_is_every_path_of_its_tree() {
    let words = words_of("super::a::{self, b::{C, D as E}, f::*}");
    let told: Vec<String> = paths_of_use(&words)
        .into_iter()
        .map(|(path, name)| format!("{} as {}", path.join("::"), name.unwrap_or_default()))
        .collect();
    assert_eq!(
        told,
        [
            "super::a as a",
            "super::a::b::C as C",
            "super::a::b::D as E",
            "super::a::f as "
        ]
    );
}

#[test]
fn what_a_module_takes_from_its_own_parent_closes_a_circle() {
    let module = |text: &str| Module::of(&words_of(text));
    let mut house = House {
        modules: BTreeMap::from([
            ("crate".to_owned(), module("mod room; mod fault;")),
            (
                "room".to_owned(),
                module(
                    "mod leaf; mod other; pub(crate) use self::leaf::Leaf; fn f() { leaf::g() } pub enum Roof {}",
                ),
            ),
            (
                "room::leaf".to_owned(),
                module("use super::Roof; pub(crate) struct Leaf;"),
            ),
            (
                "room::other".to_owned(),
                module("use super::Leaf; #[cfg(test)] mod tests { use crate::fault::Fault; }"),
            ),
            ("fault".to_owned(), module("pub struct Leaf;")),
        ]),
        leanings: Leanings::new(),
    };
    house.leanings = house
        .modules
        .keys()
        .map(|name| (name.clone(), house.leans_on(name)))
        .collect();
    assert_eq!(
        house.leanings["room::other"],
        BTreeSet::from(["room::leaf".to_owned()])
    );
    let circle = BTreeSet::from(["room".to_owned(), "room::leaf".to_owned()]);
    assert_eq!(circles(&house.leanings), [circle]);
    assert!(
        house.names_of_several().is_empty(),
        "no other room speaks either of them"
    );
}
