//! Man pages in roff: one of each program, one of each command.

use super::generated::{Generated, NOTE};
use crate::cli::help::env_help;
use crate::cli::table::{Command, Flag, Program};

pub(super) fn pages(program: &Program) -> Vec<Generated> {
    let commands = program.commands.iter();
    let pages = commands.map(|command| (page_name(command.name), of_command(program, command)));
    let own = [(program.name.to_string(), of_program(program))];
    let all = own.into_iter().chain(pages);
    all.map(|(name, text)| Generated {
        path: format!("deploy/man/{name}.1"),
        text,
    })
    .collect()
}

fn page_name(command: &str) -> String {
    command.replace(' ', "-")
}

fn of_program(program: &Program) -> String {
    let mut page = Page::new(program.name, program.summary);
    page.section("SYNOPSIS");
    for command in program.commands {
        page.usage(command);
    }
    page.section("DESCRIPTION");
    page.paragraphs(program.description);
    page.section("COMMANDS");
    for command in program.commands {
        let names = spellings(command.subcommands());
        page.item(&names, command.summary);
    }
    page.section("OPTIONS");
    page.item(&spellings(["-h", "--help"]), "Print the help.");
    page.item(&spellings(["-V", "--version"]), "Print the version.");
    page.see_also(
        program
            .commands
            .iter()
            .map(|command| page_name(command.name)),
    );
    page.0
}

fn of_command(program: &Program, command: &Command) -> String {
    let mut page = Page::new(&page_name(command.name), command.summary);
    page.section("SYNOPSIS");
    page.usage(command);
    if let Some(alias) = command.full_alias() {
        page.paragraphs(&[&format!("Alias: {alias}.")]);
    }
    if !command.description.is_empty() {
        page.section("DESCRIPTION");
        page.paragraphs(command.description);
    }
    for block in command.blocks {
        page.section(&block.title.to_uppercase());
        page.line(".nf");
        block.lines.iter().for_each(|line| page.text(line));
        page.line(".fi");
    }
    page.section("OPTIONS");
    for section in command.sections() {
        page.line(&format!(".SS {}", escaped(section.title)));
        for flag in section.flags {
            page.item(&names(flag), &meaning(command, flag));
        }
    }
    page.item(&spellings(["-h", "--help"]), "Print the help.");
    if let Some(help) = env_help(command) {
        page.section("ENVIRONMENT");
        page.paragraphs(&[&help]);
    }
    page.section("EXIT STATUS");
    page.paragraphs(&[command.exit_status]);
    page.see_also([program.name.to_string()].into_iter());
    page.0
}

/// Names of one flag or command.
fn spellings(names: impl IntoIterator<Item = &'static str>) -> String {
    let names: Vec<String> = names.into_iter().map(bold).collect();
    names.join(", ")
}

fn names(flag: &Flag) -> String {
    let names = spellings(flag.spellings.iter().copied());
    match flag.value {
        Some(value) => format!("{names} \\fI{}\\fR", escaped(value)),
        None => names,
    }
}

fn meaning(command: &Command, flag: &Flag) -> String {
    let mut text = format!("{}.", flag.help);
    if let Some(default) = &flag.default {
        text += &format!(" Default: {default}.");
    }
    let names = command.env_names(flag);
    if !names.is_empty() {
        text += &format!(" Environment: {}.", names.join(", "));
    }
    text
}

struct Page(String);

impl Page {
    fn new(name: &str, summary: &str) -> Self {
        let version = env!("CARGO_PKG_VERSION");
        let title = name.to_uppercase();
        let mut page = Self(format!(".\\\" {NOTE}\n"));
        page.line(&format!(".TH {title} 1 \"\" \"probelet {version}\""));
        page.section("NAME");
        page.line(&format!("{} \\- {}", escaped(name), escaped(summary)));
        page
    }

    fn line(&mut self, line: &str) {
        self.0 += line;
        self.0.push('\n');
    }

    /// A line of text. `\&` protects a control character at its start, which would make it a request.
    fn text(&mut self, text: &str) {
        let text = escaped(text);
        match text.starts_with(['.', '\'']) {
            true => self.line(&format!("\\&{text}")),
            false => self.line(&text),
        }
    }

    fn section(&mut self, title: &str) {
        self.line(&format!(".SH {}", escaped(title)));
    }

    fn paragraphs(&mut self, paragraphs: &[&str]) {
        for paragraph in paragraphs {
            self.line(".PP");
            self.text(paragraph);
        }
    }

    fn usage(&mut self, command: &Command) {
        for usage in command.usage {
            self.line(".PP");
            self.line(&format!("{} {}", bold(command.name), escaped(usage)));
        }
    }

    fn item(&mut self, label: &str, meaning: &str) {
        self.line(".TP");
        self.line(label);
        self.text(meaning);
    }

    fn see_also(&mut self, names: impl Iterator<Item = String>) {
        self.section("SEE ALSO");
        let pages: Vec<String> = names.map(|name| format!("{}(1)", bold(&name))).collect();
        self.line(&pages.join(", "));
    }
}

fn bold(text: &str) -> String {
    format!("\\fB{}\\fR", escaped(text))
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-")
}
