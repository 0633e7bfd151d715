//! Judged by kubelet's own code: its verdict through the agent against its verdict of the app.

use libtest_mimic::Trial;

/// The tests.
pub fn tests() -> Vec<Trial> {
    vec![Trial::test(
        "judgement::menu_names_are_unique",
        menu_names_are_unique,
    )]
}

fn menu_names_are_unique() -> crate::support::Outcome {
    let kitchen = crate::support::menu::Kitchen::open();
    let mut names: Vec<_> = kitchen.menu(1).into_iter().map(|d| d.name).collect();
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count);
    println!("{count} dishes");
    Ok(())
}
