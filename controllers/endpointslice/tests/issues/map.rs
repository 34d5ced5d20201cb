//! The list in `../README.md` names tests that exist.

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

#[test]
fn every_test_that_the_list_names_exists_and_every_pin_is_in_the_list() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut tests = BTreeSet::new();
    for folder in ["controllers", "e2e"] {
        functions(&root.join(folder), &mut tests);
    }
    let readme = fs::read_to_string(root.join("controllers/endpointslice/tests/README.md")).unwrap();
    let named = named(&readme);
    let missing: Vec<_> = named.difference(&tests).collect();
    assert!(missing.is_empty(), "the list names tests that do not exist: {missing:?}");
    let pins = tests.iter().filter(|test| test.starts_with("issue_") || test.starts_with("gap_"));
    let unlisted: Vec<_> = pins.filter(|test| !named.contains(*test)).collect();
    assert!(unlisted.is_empty(), "tests that are not in the list: {unlisted:?}");
    assert!(named.len() > 20, "{named:?}");
}
