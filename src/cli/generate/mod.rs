//! Generated files: man pages, completions, `docs/flags.md` and `docs/annotations.md` from the tables of flags, and
//! `docs/limits.md` from `src/limits.rs`. A test fails when one is stale;
//! `PROBELET_TEST_BLESS=1 cargo test --all-features --lib cli::generate` rewrites them.

mod completions;
mod docs;
mod generated;
mod limits;
mod man;

use generated::{Generated, PROGRAMS};
use std::fs;
use std::path::Path;

fn all() -> Vec<Generated> {
    let mut files = vec![docs::flags(), docs::annotations(), limits::limits()];
    for program in PROGRAMS {
        files.extend(man::pages(program));
        files.extend(completions::of(program));
    }
    files
}

#[test]
fn generated_files_are_up_to_date() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let is_blessed = std::env::var_os("PROBELET_TEST_BLESS").is_some();
    let mut stale = Vec::new();
    for Generated { path, text } in all() {
        let file = root.join(&path);
        if is_blessed {
            fs::create_dir_all(file.parent().expect("a directory")).expect("it can be created");
            fs::write(&file, &text).expect("it can be written");
        } else if fs::read_to_string(&file).is_ok_and(|found| found == text) {
            continue;
        } else {
            stale.push(path);
        }
    }
    assert!(
        stale.is_empty(),
        "{stale:?} are stale: PROBELET_TEST_BLESS=1 cargo test --all-features --lib cli::generate"
    );
}

#[test]
fn the_directories_of_generated_files_have_no_other_files() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = all();
    for folder in ["deploy/man", "deploy/completions"] {
        for entry in fs::read_dir(root.join(folder)).expect("the folder") {
            let name = entry.expect("an entry").file_name();
            let path = format!("{folder}/{}", name.to_string_lossy());
            assert!(files.iter().any(|file| file.path == path), "{path}");
        }
    }
}
