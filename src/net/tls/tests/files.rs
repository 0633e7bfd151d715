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
        credentials.shared(Curves::Usable);
        credentials.pair.as_ref().expect("a pair").cert[0].clone()
    };
    assert_eq!((in_use(&tls), tls.take_reload()), (der(&first[0]), None));
    // The certificate comes first, and for a while the key is the old one's.
    let key = ca.file("k.pem", &first[1]);
    ca.file("c.pem", &second[0]);
    let kept = TlsReload::Failed(FileError {
        role: FileRole::Key,
        path: key.clone(),
        error: PemError::KeyMismatch,
    });
    assert_eq!(
        (in_use(&tls), tls.take_reload()),
        (der(&first[0]), Some(kept))
    );
    assert_eq!(
        (in_use(&tls), tls.take_reload()),
        (der(&first[0]), None),
        "reported twice"
    );
    ca.file("k.pem", &second[1]);
    let renewed = TlsReload::Renewed(FileRole::Certificate);
    assert_eq!(
        (in_use(&tls), tls.take_reload()),
        (der(&second[0]), Some(renewed))
    );
    std::fs::remove_file(&*key).expect("it is there");
    assert_eq!(in_use(&tls), der(&second[0]));
    assert!(matches!(tls.take_reload(), Some(TlsReload::Failed(_))));
}

#[test]
fn an_unreadable_file_is_read_again_and_reported_once() {
    let ca = Ca::new("unreadable");
    let pair = ca.pair(&[]);
    let tls = Tls::load(ca.client(&pair)).expect("good files");
    let mut credentials = tls.credentials.borrow_mut();
    // As a read that failed leaves it: which file it is, is as little known as what is in it.
    let key = ca.directory.join("k.pem");
    let aside = ca.directory.join("aside.pem");
    std::fs::rename(&key, &aside).expect("it is there");
    for _ in 0..3 {
        credentials.reload_pair();
    }
    assert!(matches!(credentials.reloads[..], [TlsReload::Failed(_)]));
    std::fs::rename(&aside, &key).expect("it is there");
    let files = credentials.pair_files.as_mut().expect("named");
    assert!(files.poll_changed());
}

#[test]
fn faults_of_the_pair_and_of_the_ca_are_reported_once_each() {
    let ca = Ca::new("both");
    let tls = Tls::load(TlsFiles {
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
    let failures = credentials.reloads.iter().map(|notice| match notice {
        TlsReload::Failed(error) => (error.role, error.error),
        renewed => panic!("{renewed:?}"),
    });
    let parts = [FileRole::Key, FileRole::Ca];
    let expected = parts.map(|part| (part, PemError::Read(ReadError::TooLarge(limits::PEM_BYTES))));
    assert_eq!(failures.collect::<Vec<_>>(), expected);
}

/// kubelet writes a new directory, and swaps the link that each file of the volume leads through.
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
    let tls = Tls::load(TlsFiles {
        client: Some([path("tls.crt"), path("tls.key")]),
        ..TlsFiles::default()
    });
    let tls = tls.expect("good files");
    link("..2", "..data_tmp");
    std::fs::rename(in_volume("..data_tmp"), in_volume("..data")).expect("a new link");
    let mut credentials = tls.credentials.borrow_mut();
    credentials.shared(Curves::Usable);
    assert_eq!(
        credentials.reloads,
        [TlsReload::Renewed(FileRole::Certificate)]
    );
    assert_eq!(
        credentials.pair.as_ref().expect("a pair").cert[0],
        der(&second[0])
    );
}
