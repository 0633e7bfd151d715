//! The measured programs: the floor and the builds of probelet, which are built, and the installed peers.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Outcome;

/// The target that both builds are for.
pub const TARGET: &str = if cfg!(target_arch = "aarch64") {
    "aarch64-unknown-linux-musl"
} else {
    "x86_64-unknown-linux-musl"
};

/// A binary, and a note for the report.
#[derive(Debug)]
pub struct Built {
    /// Its path.
    pub path: PathBuf,
    /// The command that built it.
    pub note: String,
}

/// The target directory of cargo.
pub fn target_folder() -> PathBuf {
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR"));
    scratch.parent().unwrap_or(scratch).to_path_buf()
}

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Compiles the floor with the first C compiler that links it, statically if possible.
pub fn floor(scratch: &Path) -> Outcome<Built> {
    let source = project().join("benches/probe/floor.c");
    let path = scratch.join("floor");
    let ways: [&[&str]; 3] = [&["musl-gcc", "-static"], &["cc", "-static"], &["cc"]];
    for way in ways {
        let mut compiler = Command::new(way[0]);
        compiler.args(&way[1..]).args(["-O2", "-s", "-o"]);
        let output = compiler.arg(&path).arg(&source).output();
        if output.is_ok_and(|output| output.status.success()) {
            let note = format!("floor.c by {}", way.join(" "));
            return Ok(Built { path, note });
        }
    }
    Err("floor.c: neither musl-gcc nor cc compiles it; install a C compiler".into())
}

/// The small build without TLS: `PROBELET_BENCH_BIN`, or the output of the script, or, with a note, the release build of the
/// stable toolchain.
pub fn small() -> Outcome<Built> {
    by_script("PROBELET_BENCH_BIN", &["--plain"], "small-plain")
}

/// The small build with TLS, as it is shipped: `PROBELET_BENCH_TLS_BIN`, or as above.
pub fn small_tls() -> Outcome<Built> {
    by_script("PROBELET_BENCH_TLS_BIN", &[], "small")
}

fn by_script(variable: &str, options: &[&str], folder: &str) -> Outcome<Built> {
    if let Some(path) = env::var_os(variable).filter(|path| !path.is_empty()) {
        let path = PathBuf::from(path);
        let path = fs::canonicalize(&path)
            .map_err(|error| format!("{variable} {}: {error}", path.display()))?;
        let note = variable.into();
        return Ok(Built { path, note });
    }
    let line = [&["deploy/small-build.sh"], options, &[TARGET]].concat();
    let line = line.join(" ");
    eprintln!("building: {line}");
    let mut script = Command::new(project().join("deploy/small-build.sh"));
    let status = script.args(options).arg(TARGET).status();
    let path = project().join(format!("target/{folder}/{TARGET}/release/probelet"));
    if status.is_ok_and(|status| status.success()) && path.exists() {
        return Ok(Built { path, note: line });
    }
    let mut built = if options.is_empty() {
        release()
    } else {
        plain()
    }?;
    built.note = format!(
        "NOT THE SMALL BUILD, WHICH FAILED: {}. For the small one: rustup component add rust-src; \
         rustup target add {TARGET}; {line}",
        built.note
    );
    Ok(built)
}

/// The `--release` build without TLS on this toolchain, static if the musl target is installed.
pub fn plain() -> Outcome<Built> {
    by_cargo(&["--no-default-features"], "bench-plain")
}

/// The `--release` build with TLS.
fn release() -> Outcome<Built> {
    by_cargo(
        &["--no-default-features", "--features", "tls,check"],
        "bench-release",
    )
}

fn by_cargo(options: &[&str], folder: &str) -> Outcome<Built> {
    let folder = target_folder().join(folder);
    for target in [Some(TARGET), None] {
        let mut line = vec!["build", "--release", "--bin", "probelet"];
        line.extend(options);
        line.extend(target.iter().flat_map(|target| ["--target", target]));
        eprintln!("building: cargo {}", line.join(" "));
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()));
        cargo.current_dir(project()).args(&line);
        let built = cargo.arg("--target-dir").arg(&folder).status();
        if built.is_ok_and(|status| status.success()) {
            let path = folder.join(target.unwrap_or_default());
            let path = path.join("release/probelet");
            let note = format!("cargo {}", line.join(" "));
            return Ok(Built { path, note });
        }
    }
    Err("cargo build --release fails; run it to see why".into())
}

/// KiB of a file.
pub fn size(path: &Path) -> Outcome<f64> {
    let data = fs::metadata(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(data.len() as f64 / 1024.0)
}

/// An installed program: the path in a variable, or its name on PATH or in /usr/sbin.
pub fn installed(name: &str, variable: &str) -> Option<PathBuf> {
    if let Some(path) = env::var_os(variable).filter(|path| !path.is_empty()) {
        return Some(PathBuf::from(path)).filter(|path| path.exists());
    }
    let listed = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&listed).chain([PathBuf::from("/usr/sbin")]);
    folders
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
}
