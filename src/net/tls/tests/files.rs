//! Files that change, or cannot be read, while they are in use.

use super::*;
use crate::pem::{FileRole, PemError, ReadError};

#[test]
fn a_renewed_pair_is_used_and_a_broken_one_is_not() {
    let ca = Ca::new("renewed");
    let [first, second] = [ca.pair(&[]), ca.pair(&[])];
    let tls = Tls::load(ca.client(&first)).expect("good files");
    let in_use = |tls: &Tls| {
        let mut credentials = tls.credentials.borrow_mut();
        // As if the last poll had been long ago.
        credentials.poll_at = None;
        credentials
            .poll_shared_config(Curves::Default)
            .expect("all files");
        credentials.pair.as_ref().expect("a pair").cert[0].clone()
    };
    assert_eq!((in_use(&tls), tls.take_reload()), (der(&first[0]), None));
    // The certificate is replaced first, and for a while the key does not match it.
    let key = ca.file("k.pem", &first[1]);
    ca.file("c.pem", &second[0]);
    let failed = TlsReload::Failed(FileError {
        role: FileRole::Key,
        path: key.clone(),
        error: PemError::KeyMismatch,
    });
    assert_eq!(
        (in_use(&tls), tls.take_reload()),
        (der(&first[0]), Some(failed))
    );
    assert_eq!(
        (in_use(&tls), tls.take_reload()),
        (der(&first[0]), None),
        "reported twice"
    );
    ca.file("k.pem", &second[1]);
    let reloaded = TlsReload::Reloaded(FileRole::Certificate);
    assert_eq!(
        (in_use(&tls), tls.take_reload()),
        (der(&second[0]), Some(reloaded))
    );
    std::fs::remove_file(&*key).expect("the file exists");
    assert_eq!(in_use(&tls), der(&second[0]));
    assert!(matches!(tls.take_reload(), Some(TlsReload::Failed(_))));
}

#[test]
fn an_unreadable_file_is_read_again_and_reported_once() {
    let ca = Ca::new("unreadable");
    let pair = ca.pair(&[]);
    let tls = Tls::load(ca.client(&pair)).expect("good files");
    let mut credentials = tls.credentials.borrow_mut();
    // After a failed read the version of the file is unknown, too.
    let key = ca.directory.join("k.pem");
    let aside = ca.directory.join("aside.pem");
    std::fs::rename(&key, &aside).expect("the file exists");
    for _ in 0..3 {
        credentials.reload_pair();
    }
    assert_eq!(credentials.reloads.len(), 1);
    assert!(matches!(credentials.reloads[0], TlsReload::Failed(_)));
    std::fs::rename(&aside, &key).expect("the file exists");
    let files = credentials.pair_files.as_mut().expect("named");
    assert!(files.poll_changed());
}

#[test]
fn faults_of_the_pair_and_of_the_ca_are_reported_once_each() {
    let ca = Ca::new("both");
    let tls = Tls::load(TlsOptions {
        app_ca: Some(ca.file("ca.pem", &ca.pem)),
        ..ca.client(&ca.pair(&[]))
    });
    let tls = tls.expect("good files");
    let too_long = "-".repeat(limits::PEM_BYTES + 1);
    for name in ["k.pem", "ca.pem"] {
        ca.file(name, &too_long);
    }
    let mut credentials = tls.credentials.borrow_mut();
    for _ in 0..3 {
        // As if the last poll had been long ago.
        credentials.poll_at = None;
        credentials.poll_files();
    }
    let failures = credentials.reloads.iter().map(|reload| match reload {
        TlsReload::Failed(error) => (error.role, error.error),
        other => panic!("{other:?}"),
    });
    let roles = [FileRole::Key, FileRole::Ca];
    let expected = roles.map(|role| (role, PemError::Read(ReadError::TooLarge(limits::PEM_BYTES))));
    assert_eq!(failures.collect::<Vec<_>>(), expected);
}

/// kubelet writes a new directory and replaces the symbolic link through which all files of the volume are read.
#[test]
fn a_secret_volume_is_followed_through_its_links() {
    let ca = Ca::new("secret");
    let [first, second] = [ca.pair(&[]), ca.pair(&[])];
    let in_volume = |name: &str| ca.directory.join(name);
    for (directory, pair) in [("..1", &first), ("..2", &second)] {
        std::fs::create_dir(in_volume(directory)).expect("a directory");
        ca.file(&format!("{directory}/tls.crt"), &pair[0]);
        ca.file(&format!("{directory}/tls.key"), &pair[1]);
    }
    let link = |to: &str, at: &str| std::os::unix::fs::symlink(to, in_volume(at)).expect("a link");
    link("..1", "..data");
    link("..data/tls.crt", "tls.crt");
    link("..data/tls.key", "tls.key");
    let path = |name: &str| in_volume(name).to_str().expect("a plain path").into();
    let tls = Tls::load(TlsOptions {
        client: Some(ClientPair {
            certificate: path("tls.crt"),
            key: path("tls.key"),
        }),
        ..TlsOptions::default()
    });
    let tls = tls.expect("good files");
    link("..2", "..data_tmp");
    std::fs::rename(in_volume("..data_tmp"), in_volume("..data")).expect("a new link");
    let mut credentials = tls.credentials.borrow_mut();
    credentials
        .poll_shared_config(Curves::Default)
        .expect("all files");
    assert_eq!(
        credentials.reloads,
        [TlsReload::Reloaded(FileRole::Certificate)]
    );
    assert_eq!(
        credentials.pair.as_ref().expect("a pair").cert[0],
        der(&second[0])
    );
}
