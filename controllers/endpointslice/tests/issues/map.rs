//! The list in `tests/README.md` of the crate names tests that exist. Other controllers' tests include this file.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Names of all functions in Rust files below a folder.
fn functions(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.expect("an entry of the folder").path();
        if path.is_dir() {
            functions(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("source code is text");
            let mut is_test = false;
            for line in text.lines().map(str::trim) {
                is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
                let line = line.strip_prefix("async ").unwrap_or(line);
                if let Some(rest) = line.strip_prefix("fn ")
                    && std::mem::take(&mut is_test)
                {
                    found.insert(rest.split('(').next().unwrap_or_default().to_owned());
                }
            }
        }
    }
}

/// What is between backticks and looks like a test.
fn named(readme: &str) -> BTreeSet<String> {
    let is_name = |text: &&str| {
        text.contains('_')
            && text.chars().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '_')
    };
    readme.split('`').skip(1).step_by(2).filter(is_name).map(str::to_owned).collect()
}

/// The text of the list of a crate, if it has one.
fn list(of: &Path) -> Option<String> {
    fs::read_to_string(of.join("tests/README.md")).ok()
}

#[test]
fn every_test_that_the_list_names_exists_and_every_pin_is_in_a_list() {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = own.join("../..");
    let mut tests = BTreeSet::new();
    for folder in ["controllers", "e2e"] {
        functions(&root.join(folder), &mut tests);
    }
    let in_own = named(&list(own).expect("the crate has a list"));
    let missing: Vec<_> = in_own.difference(&tests).collect();
    assert!(missing.is_empty(), "the list names tests that do not exist: {missing:?}");
    assert!(in_own.len() > 20, "{in_own:?}");
    let crates = fs::read_dir(root.join("controllers")).expect("the folder of the crates");
    let lists = crates.filter_map(|it| list(&it.expect("a crate").path()));
    let in_any: BTreeSet<String> = lists.flat_map(|it| named(&it)).collect();
    let pins = tests.iter().filter(|test| test.starts_with("issue_") || test.starts_with("gap_"));
    let unlisted: Vec<_> = pins.filter(|test| !in_any.contains(*test)).collect();
    assert!(unlisted.is_empty(), "tests that are in no list: {unlisted:?}");
}
