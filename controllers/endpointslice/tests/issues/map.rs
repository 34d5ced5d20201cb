//! The lists of the controllers' tests (`controllers/*/tests/README.md`) name tests that exist, and all that are pins.

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
fn names_in(list: &str) -> BTreeSet<String> {
    let is_name = |text: &&str| {
        text.contains('_')
            && text.chars().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '_')
    };
    list.split('`').skip(1).step_by(2).filter(is_name).map(str::to_owned).collect()
}

#[test]
fn every_test_that_a_list_names_exists_and_every_pin_is_in_a_list() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut tests = BTreeSet::new();
    for folder in ["controllers", "e2e"] {
        functions(&root.join(folder), &mut tests);
    }
    let mut named = BTreeSet::new();
    for controller in fs::read_dir(root.join("controllers")).unwrap() {
        let list = controller.unwrap().path().join("tests/README.md");
        if list.exists() {
            named.extend(names_in(&fs::read_to_string(list).unwrap()));
        }
    }
    let missing: Vec<_> = named.difference(&tests).collect();
    assert!(missing.is_empty(), "the lists name tests that do not exist: {missing:?}");
    let pins = tests.iter().filter(|test| test.starts_with("issue_") || test.starts_with("gap_"));
    let unlisted: Vec<_> = pins.filter(|test| !named.contains(*test)).collect();
    assert!(unlisted.is_empty(), "tests that are in no list: {unlisted:?}");
    assert!(named.len() > 20, "{named:?}");
}
