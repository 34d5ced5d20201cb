//! `config/crd` is what the Rust types say. `make crds` writes it anew.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use fairlead_crds::definitions;

const KUSTOMIZATION: &str = "kustomization.yaml";

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../config/crd")
}

/// What the folder has to have: file names and contents.
fn wanted() -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    for definition in definitions::all() {
        let name = format!("{}_{}.yaml", definition.spec.group, definition.spec.names.plural);
        let yaml = definitions::yaml(&definition).expect("YAML");
        files.insert(name, format!("# Generated from the Rust types in crds; see its README.\n{yaml}"));
    }
    let mut kustomization = vec![
        "apiVersion: kustomize.config.k8s.io/v1beta1".to_owned(),
        "kind: Kustomization".to_owned(),
        "resources:".to_owned(),
    ];
    kustomization.extend(files.keys().map(|name| format!("  - {name}")));
    files.insert(KUSTOMIZATION.to_owned(), kustomization.join("\n") + "\n");
    files
}

fn found() -> BTreeMap<String, String> {
    let entries = fs::read_dir(folder()).expect("config/crd").map(|entry| entry.expect("an entry"));
    entries
        .map(|entry| {
            let text = fs::read_to_string(entry.path()).expect("a text");
            (entry.file_name().to_string_lossy().into_owned(), text)
        })
        .collect()
}

#[test]
fn config_crd_is_what_the_types_say() {
    let wanted = wanted();
    if std::env::var_os("UPDATE").is_some() {
        for name in found().keys().filter(|name| !wanted.contains_key(*name)) {
            fs::remove_file(folder().join(name)).expect("removing what is not wanted");
        }
        for (name, text) in &wanted {
            fs::write(folder().join(name), text).expect("writing");
        }
    }
    let found = found();
    let different: Vec<_> =
        wanted.keys().chain(found.keys()).filter(|&name| wanted.get(name) != found.get(name)).collect();
    assert!(different.is_empty(), "{different:?} in config/crd: `make crds` writes them anew");
}
