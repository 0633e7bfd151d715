//! Files that change, or cannot be read, while they are in use.

use super::*;
use crate::net::CertFile;
use crate::pem::{FileRole, PemError, ReadError};

#[test]
fn a_renewed_pair_is_used_and_a_broken_one_is_not() {
    let ca = Ca::new("renewed");
    let [first, second] = [ca.pair(&[]), ca.pair(&[])];
    let tls = Tls::load(ca.client(&first)).expect("good files");
    let in_use = |tls: &Tls| {
        // As if the last poll had been long ago.
        tls.files.borrow_mut().poll_at = None;
        tls.shared_config(Curves::Default).expect("all files");
        first_pair(tls)
    };
    assert_eq!((in_use(&tls), tls.take_reload()), (der(&first[0]), None));
    // The certificate is replaced first, and for a while the key does not match it.
    let key = ca.file("k.pem", &first[1]);
    ca.file("c.pem", &second[0]);
    let failed = TlsReload::Failed {
        file: CertFile::ClientCertificate,
        error: FileError {
            role: FileRole::Key,
            path: key.clone(),
            error: PemError::KeyMismatch,
        },
    };
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
    let reloaded = TlsReload::Reloaded {
        file: CertFile::ClientCertificate,
    };
    assert_eq!(
        (in_use(&tls), tls.take_reload()),
        (der(&second[0]), Some(reloaded))
    );
    std::fs::remove_file(&*key).expect("the file exists");
    assert_eq!(in_use(&tls), der(&second[0]));
    assert!(matches!(tls.take_reload(), Some(TlsReload::Failed { .. })));
}

#[test]
fn an_unreadable_file_is_read_again_and_reported_once() {
    let ca = Ca::new("unreadable");
    let pair = ca.pair(&[]);
    let tls = Tls::load(ca.client(&pair)).expect("good files");
    let mut files = tls.files.borrow_mut();
    let CertFiles { pairs, reloads, .. } = &mut *files;
    // After a failed read the version of the file is unknown, too.
    let key = ca.directory.join("k.pem");
    let aside = ca.directory.join("aside.pem");
    std::fs::rename(&key, &aside).expect("the file exists");
    for _ in 0..3 {
        assert!(!pairs[0].reload(reloads));
    }
    assert_eq!(reloads.len(), 1);
    assert!(matches!(reloads[0], TlsReload::Failed { .. }));
    std::fs::rename(&aside, &key).expect("the file exists");
    assert!(pairs[0].files.poll_changed());
}

#[test]
fn faults_of_the_pair_and_of_the_ca_are_reported_once_each() {
    let ca = Ca::new("both");
    let tls = Tls::load(TlsOptions {
        app_ca: [ca.file("ca.pem", &ca.pem)].into(),
        ..ca.client(&ca.pair(&[]))
    });
    let tls = tls.expect("good files");
    let too_long = "-".repeat(limits::PEM_BYTES + 1);
    for name in ["k.pem", "ca.pem"] {
        ca.file(name, &too_long);
    }
    let mut files = tls.files.borrow_mut();
    for _ in 0..3 {
        // As if the last poll had been long ago.
        files.poll_at = None;
        files.poll();
    }
    let failures = files.reloads.iter().map(|reload| match reload {
        TlsReload::Failed { error, .. } => (error.role, error.error),
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
        client: Some(KeyPairPaths {
            certificate: path("tls.crt"),
            key: path("tls.key"),
        }),
        ..TlsOptions::default()
    });
    let tls = tls.expect("good files");
    link("..2", "..data_tmp");
    std::fs::rename(in_volume("..data_tmp"), in_volume("..data")).expect("a new link");
    tls.shared_config(Curves::Default).expect("all files");
    let reloaded = TlsReload::Reloaded {
        file: CertFile::ClientCertificate,
    };
    assert_eq!(tls.files.borrow().reloads, [reloaded]);
    assert_eq!(first_pair(&tls), der(&second[0]));
}

/// The certificate of the first pair.
fn first_pair(tls: &Tls) -> CertificateDer<'static> {
    let files = tls.files.borrow();
    files.pairs[0].contents.as_ref().expect("a pair").cert[0].clone()
}
