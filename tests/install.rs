//! `probelet install`: the copy, and what a failed install leaves.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use libtest_mimic::Trial;

use crate::support::Need;
use crate::support::command::{Ended, argv, binary, command, probelet, run_to_end};
use crate::support::trials::trials;

pub fn tests() -> Vec<Trial> {
    let mut tests = trials!["install":
        the_copy_is_complete_and_runs,
        every_user_can_run_the_copy_with_any_umask,
        a_previous_copy_is_replaced_atomically,
        leftovers_of_a_killed_install_are_removed,
        an_identical_copy_is_not_replaced,
        a_failed_copy_is_an_error_and_leaves_no_file,
    ];
    tests.extend(trials!["install" needs &[Need::Root];
        user_1337_installs_into_an_empty_dir,
        a_folder_of_another_user_is_rejected,
    ]);
    tests.extend(trials!["install" needs &[Need::Peer("strace")];
        a_copy_is_synced_before_it_is_renamed,
    ]);
    tests.extend(
        trials!["install" needs &[Need::Root, Need::Peer("unshare")];
            a_full_or_read_only_volume_is_an_error_and_leaves_no_file,
            a_volume_with_space_for_one_copy_allows_a_second_install,
            containers_that_share_a_folder_install_at_once,
        ],
    );
    tests
}

/// A target directory in /tmp, which other users can reach. Dropping it deletes it.
struct InstallDir(PathBuf);

impl InstallDir {
    fn new(name: &str) -> InstallDir {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::SeqCst);
        let name = format!("probelet-{name}-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).expect("a folder for temporary files");
        InstallDir(path)
    }

    fn allow(self, mode: u32) -> InstallDir {
        fs::set_permissions(&self.0, Permissions::from_mode(mode)).expect("our folder");
        self
    }

    fn text(&self) -> &str {
        self.0.to_str().expect("UTF-8")
    }

    fn file(&self) -> PathBuf {
        self.0.join("probelet")
    }

    fn install(&self) -> Ended {
        run_to_end(probelet(&["install", self.text()]))
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).expect("our folder");
        let name = |entry: std::io::Result<fs::DirEntry>| entry.expect("an entry").file_name();
        entries
            .map(name)
            .map(|name| name.to_string_lossy().into_owned())
            .collect()
    }

    /// Asserts that the folder contains the whole copy and nothing else.
    #[track_caller]
    fn assert_installed(&self, ended: &Ended) {
        self.assert_copied(ended);
        assert_eq!(self.names(), ["probelet"]);
    }

    /// Asserts that the copy is complete.
    #[track_caller]
    fn assert_copied(&self, ended: &Ended) {
        assert_eq!(ended.status.code(), Some(0), "{ended:?}");
        assert_eq!(ended.stdout, format!("{}\n", self.file().display()));
        assert_eq!(ended.stderr, "");
        let mode = fs::metadata(self.file())
            .expect("the copy")
            .permissions()
            .mode();
        assert_eq!(mode & 0o7777, 0o755);
        let (copy, original) = (fs::read(self.file()), fs::read(binary()));
        assert!(copy.expect("the copy") == original.expect("the binary"));
    }
}

impl Drop for InstallDir {
    fn drop(&mut self) {
        let _ = fs::set_permissions(&self.0, Permissions::from_mode(0o700));
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[track_caller]
fn assert_refused(ended: &Ended, words: &[&str]) {
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert_eq!(ended.stdout, "", "{ended:?}");
    assert!(ended.stderr.starts_with("probelet: "), "{ended:?}");
    assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
    assert!(
        words.iter().all(|word| ended.stderr.contains(word)),
        "{ended:?}"
    );
}

fn the_copy_is_complete_and_runs() {
    let folder = InstallDir::new("runs");
    folder.assert_installed(&folder.install());
    let copy = folder.file();
    let version = run_to_end(command(copy.to_str().expect("UTF-8"), &["--version"]));
    assert_eq!(
        version.stdout,
        format!("probelet {}\n", env!("CARGO_PKG_VERSION"))
    );
}

fn every_user_can_run_the_copy_with_any_umask() {
    let folder = InstallDir::new("umask");
    let mut command = Command::new("sh");
    command.args(["-c", "umask 077; exec \"$@\"", "sh"]);
    command
        .args(argv(&binary()))
        .args(["install", folder.text()]);
    folder.assert_installed(&run_to_end(command));
}

fn a_previous_copy_is_replaced_atomically() {
    let folder = InstallDir::new("former");
    fs::write(folder.file(), "former").expect("a file");
    // A process that has the previous copy open can still read it.
    let mut former = fs::File::open(folder.file()).expect("a file");
    folder.assert_installed(&folder.install());
    let text = std::io::read_to_string(&mut former).expect("still there");
    assert_eq!(text, "former");
    // The copy may be the running program. A link in its place is replaced, not followed.
    let copy = folder.file();
    let again = run_to_end(command(
        copy.to_str().expect("UTF-8"),
        &["install", folder.text()],
    ));
    folder.assert_installed(&again);
    let elsewhere = InstallDir::new("elsewhere");
    fs::write(elsewhere.file(), "elsewhere").expect("a file");
    fs::remove_file(&copy).expect("the copy");
    symlink(elsewhere.file(), &copy).expect("a link");
    folder.assert_installed(&folder.install());
    let kept = fs::read_to_string(elsewhere.file()).expect("a file");
    assert_eq!(kept, "elsewhere");
}

/// A running install holds a lock on its temporary file.
fn leftovers_of_a_killed_install_are_removed() {
    let folder = InstallDir::new("left");
    let file = |name: &str| folder.0.join(name);
    let kept = [
        ".probelet-1-2",
        ".probelet-1-3",
        ".probelet-mine",
        ".probelet-1-4-5",
    ];
    for name in [".probelet-1-1", ".probelet-900-8"].iter().chain(&kept) {
        fs::write(file(name), "half").expect("a file");
    }
    let at_work = fs::File::open(file(kept[0])).expect("a file");
    at_work.lock().expect("locks");
    // Empty, like a file before it is locked.
    fs::write(file(kept[1]), "").expect("a file");
    folder.assert_copied(&folder.install());
    let mut names = folder.names();
    names.sort();
    assert_eq!(names, [kept[0], kept[1], kept[3], kept[2], "probelet"]);
    // Closing it would not be enough: until it runs its program, a child that another trial starts meanwhile has the file
    // open as well, and with it the lock.
    at_work.unlock().expect("unlocks");
    assert_eq!(folder.install().status.code(), Some(0));
    assert!(!file(kept[0]).exists());
}

/// A restarted init container finds its previous copy.
fn an_identical_copy_is_not_replaced() {
    let folder = InstallDir::new("again");
    let number = || fs::metadata(folder.file()).expect("the copy").ino();
    folder.assert_installed(&folder.install());
    let first = number();
    folder.assert_installed(&folder.install());
    assert_eq!(number(), first);
    // A copy that is not executable, or has a changed byte, is replaced.
    fs::set_permissions(folder.file(), Permissions::from_mode(0o644)).expect("our copy");
    folder.assert_installed(&folder.install());
    let mut bytes = fs::read(folder.file()).expect("the copy");
    *bytes.last_mut().expect("bytes") ^= 1;
    fs::write(folder.file(), bytes).expect("our copy");
    folder.assert_installed(&folder.install());
    // So is a link to the program.
    fs::remove_file(folder.file()).expect("the copy");
    symlink(binary(), folder.file()).expect("a link");
    folder.assert_installed(&folder.install());
    let metadata = fs::symlink_metadata(folder.file()).expect("the copy");
    assert!(metadata.is_file());
}

/// After a power failure the node has either the previous copy or the complete new one.
fn a_copy_is_synced_before_it_is_renamed() {
    let (folder, log) = (InstallDir::new("synced"), InstallDir::new("calls"));
    let calls = log.0.join("calls");
    let mut command = Command::new("strace");
    command.args([
        "-f",
        "-s0",
        "-e",
        "trace=write,fsync,rename,renameat,renameat2",
        "-o",
    ]);
    command.arg(&calls).args(argv(&binary()));
    command.args(["install", folder.text()]);
    folder.assert_installed(&run_to_end(command));
    let calls = fs::read_to_string(calls).expect("strace's log");
    let before = calls.lines().take_while(|call| !call.contains("rename"));
    let last = before.last().unwrap_or_default();
    assert!(last.contains("fsync(") && last.ends_with("= 0"), "{last}");
    assert!(calls.contains("rename"), "{calls}");
}

fn a_failed_copy_is_an_error_and_leaves_no_file() {
    let folder = InstallDir::new("refused");
    let missing = folder.0.join("missing");
    let install = |path: &Path| run_to_end(probelet(&["install", path.to_str().expect("UTF-8")]));
    assert_refused(&install(&missing), &["missing", "does not exist"]);
    let file = folder.0.join("file");
    fs::write(&file, "").expect("a file");
    assert_refused(&install(&file), &["file", "not a directory"]);
    fs::remove_file(&file).expect("the file");
    fs::create_dir_all(folder.file().join("taken")).expect("a folder in its place");
    assert_refused(&folder.install(), &["/probelet", "directory"]);
    assert_eq!(folder.names(), ["probelet"]);
    let usage = run_to_end(probelet(&["install"]));
    assert_eq!(usage.status.code(), Some(2), "{usage:?}");
}

fn as_user_1337(folder: &InstallDir) -> Ended {
    // The user may have no access to the folder of the binary. A child makes the copy: if this process wrote it, a child
    // that another trial starts meanwhile would have it open for writing too, and it could not be run.
    let source = InstallDir::new("source").allow(0o755);
    source.assert_installed(&source.install());
    let mut command = command(
        source.file().to_str().expect("UTF-8"),
        &["install", folder.text()],
    );
    command.uid(1337).gid(1337);
    run_to_end(command)
}

fn user_1337_installs_into_an_empty_dir() {
    let folder = InstallDir::new("user").allow(0o777);
    folder.assert_installed(&as_user_1337(&folder));
}

fn a_folder_of_another_user_is_rejected() {
    let folder = InstallDir::new("other").allow(0o755);
    assert_refused(&as_user_1337(&folder), &["Permission denied"]);
    assert!(folder.names().is_empty());
}

fn a_full_or_read_only_volume_is_an_error_and_leaves_no_file() {
    let folder = InstallDir::new("volume");
    for (options, words) in [("size=64k", "No space left"), ("ro", "Read-only")] {
        let script = "mount -t tmpfs -o \"$1\" none \"$2\"; folder=$2; shift 2; \"$@\"; code=$?; \
            ls -A \"$folder\"; exit $code";
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", script, "sh", options, folder.text()]);
        command.args(crate::support::command::argv(&binary()));
        command.args(["install", folder.text()]);
        assert_refused(&run_to_end(command), &[words]);
    }
}

fn a_volume_with_space_for_one_copy_allows_a_second_install() {
    let folder = InstallDir::new("small");
    let bytes = fs::metadata(binary()).expect("the binary").len();
    let script = "mount -t tmpfs -o \"size=$1\" none \"$2\"; shift 2; \"$@\" && \"$@\"";
    let mut command = Command::new("unshare");
    let size = (bytes * 3 / 2).to_string();
    command.args(["--mount", "sh", "-c", script, "sh", &size, folder.text()]);
    command
        .args(argv(&binary()))
        .args(["install", folder.text()]);
    let ended = run_to_end(command);
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert_eq!(ended.stdout.lines().count(), 2, "{ended:?}");
}

/// Each of them is process 1.
fn containers_that_share_a_folder_install_at_once() {
    let folder = InstallDir::new("shared");
    let installs: Vec<Ended> = std::thread::scope(|scope| {
        let install = || {
            let mut command = Command::new("unshare");
            command.args(["--pid", "--fork", "--mount-proc"]);
            command
                .args(argv(&binary()))
                .args(["install", folder.text()]);
            run_to_end(command)
        };
        let threads: Vec<_> = (0..24).map(|_| scope.spawn(install)).collect();
        let joined = threads.into_iter().map(|thread| thread.join());
        joined.map(|ended| ended.expect("no panic")).collect()
    });
    installs
        .iter()
        .for_each(|ended| folder.assert_installed(ended));
}
