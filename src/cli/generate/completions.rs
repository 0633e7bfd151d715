//! Completions for bash, zsh and fish: commands, flags, and files as values.

use super::generated::{Generated, NOTE};
use crate::cli::table::{Command, Flag, Program};

pub(super) fn of(program: &Program) -> Vec<Generated> {
    let name = program.name;
    [
        (format!("{name}.bash"), bash(program)),
        (format!("_{name}"), zsh(program)),
        (format!("{name}.fish"), fish(program)),
    ]
    .map(|(file, text)| Generated {
        path: format!("deploy/completions/{file}"),
        text,
    })
    .into()
}

fn names(command: &Command) -> Vec<&'static str> {
    let names = [Some(command.subcommand()), command.alias];
    names.into_iter().flatten().collect()
}

/// Whether the value of a flag is a path.
fn is_path(flag: &Flag) -> bool {
    let is_path = |value: &str| value.contains("FILE") || value == "PATH";
    flag.value.is_some_and(is_path)
}

fn bash(program: &Program) -> String {
    let function = format!("_{}", program.name.replace('-', "_"));
    let commands: Vec<&str> = program
        .commands
        .iter()
        .flat_map(|each| names(each))
        .collect();
    let mut text = format!(
        "# {NOTE}\n\
         {function}() {{\n    \
             local current=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD - 1]}} flags\n    \
             COMPREPLY=()\n    \
             if ((COMP_CWORD == 1)); then\n        \
                 mapfile -t COMPREPLY < <(compgen -W '{} --help --version' -- \"$current\")\n        \
                 return\n    \
             fi\n    \
             case ${{COMP_WORDS[1]}} in\n",
        commands.join(" ")
    );
    for command in program.commands {
        let flags: Vec<&str> = command
            .flags()
            .flat_map(|flag| flag.spellings)
            .copied()
            .collect();
        let valued = command.flags().filter(|flag| flag.value.is_some());
        let valued: Vec<&str> = valued.flat_map(|flag| flag.spellings).copied().collect();
        text += &format!("        {})\n", names(command).join(" | "));
        if !valued.is_empty() {
            text += &format!(
                "            case $before in {}) return ;; esac\n",
                valued.join(" | ")
            );
        }
        let flags: Vec<&str> = flags.into_iter().chain(["--help"]).collect();
        text += &format!("            flags='{}'\n            ;;\n", flags.join(" "));
    }
    // Without a reply, -o default completes files.
    text += &format!(
        "        *) return ;;\n    \
             esac\n    \
             [[ $current == -* ]] || return\n    \
             mapfile -t COMPREPLY < <(compgen -W \"$flags\" -- \"$current\")\n\
         }}\n\
         complete -o default -F {function} {}\n",
        program.name
    );
    text
}

fn zsh(program: &Program) -> String {
    let function = format!("_{}", program.name);
    let mut text = format!(
        "#compdef {}\n# {NOTE}\n{function}() {{\n    local line state\n    local -a commands=(\n",
        program.name
    );
    for command in program.commands {
        for name in names(command) {
            text += &format!("        '{name}:{}'\n", in_quotes(command.summary));
        }
    }
    text += "    )\n    \
             _arguments -C '(-h --help)'{-h,--help}'[Print the help]' '(-V --version)'{-V,--version}'[Print the version]' \\\n        \
                 '1: :->command' '*:: :->arguments'\n    \
             case $state in\n        \
                 command) _describe command commands ;;\n        \
                 arguments)\n            \
                     case $line[1] in\n";
    for command in program.commands {
        text += &format!("                {})\n", names(command).join(" | "));
        text += "                    _arguments -s \\\n";
        for flag in command.flags() {
            text += &format!("                        {} \\\n", zsh_flag(flag));
        }
        text += "                        '(- *)'{-h,--help}'[Print the help]' \\\n                        '*: :_files'\n";
        text += "                    ;;\n";
    }
    text += &format!("            esac\n            ;;\n    esac\n}}\n{function} \"$@\"\n");
    text
}

fn zsh_flag(flag: &Flag) -> String {
    let names = flag
        .spellings
        .iter()
        .map(|name| match (flag.value, name.len()) {
            (None, _) => (*name).into(),
            (Some(_), 2) => format!("{name}+"),
            (Some(_), _) => format!("{name}="),
        });
    let names: Vec<String> = names.collect();
    let before = match flag.is_repeatable {
        true => "'*'".into(),
        false => format!("'({})'", flag.spellings.join(" ")),
    };
    let names = match &names[..] {
        [name] => name.clone(),
        names => format!("{{{}}}", names.join(",")),
    };
    let bracketed = in_quotes(flag.help).replace('[', "\\[").replace(']', "\\]");
    let value = match flag.value {
        None => String::new(),
        Some(value) => {
            let action = if is_path(flag) { "_files" } else { "" };
            format!(":{}:{action}", in_quotes(value).replace(':', "\\:"))
        }
    };
    format!("{before}{names}'[{bracketed}]{value}'")
}

fn fish(program: &Program) -> String {
    let name = program.name;
    let commands: Vec<&str> = program
        .commands
        .iter()
        .flat_map(|each| names(each))
        .collect();
    let mut text = format!("# {NOTE}\n");
    let none = format!("not __fish_seen_subcommand_from {}", commands.join(" "));
    for command in program.commands {
        for word in names(command) {
            let summary = fish_quoted(command.summary);
            text += &format!("complete -c {name} -n '{none}' -f -a {word} -d '{summary}'\n");
        }
    }
    text += &format!("complete -c {name} -s h -l help -d 'Print the help'\n");
    text += &format!("complete -c {name} -n '{none}' -s V -l version -d 'Print the version'\n");
    for command in program.commands {
        let seen = format!("__fish_seen_subcommand_from {}", names(command).join(" "));
        for flag in command.flags() {
            let names = flag
                .spellings
                .iter()
                .map(|name| match name.strip_prefix("--") {
                    Some(long) => format!("-l {long}"),
                    None if name.len() > 2 => format!("-o {}", &name[1..]),
                    None => format!("-s {}", &name[1..]),
                });
            let names: Vec<String> = names.collect();
            let value = match flag.value {
                None => "",
                Some(_) if is_path(flag) => " -r -F",
                Some(_) => " -x",
            };
            let help = fish_quoted(flag.help);
            let names = names.join(" ");
            text += &format!("complete -c {name} -n '{seen}' {names}{value} -d '{help}'\n");
        }
    }
    text
}

/// Text within single quotes of bash and zsh.
fn in_quotes(text: &str) -> String {
    text.replace('\'', "'\\''")
}

/// Text within single quotes of fish.
fn fish_quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\'', "\\'")
}
