//! The tables of flags. A flag is written once, as an entry of `flags!`: the entry expands to a [`Flag`] that parsing,
//! `--help`, the man pages, the completions and `docs/` read, and to a field of a struct that argh parses into.

use core::fmt::{self, Display, Formatter};

/// A program: a name and its commands.
pub(super) struct Program {
    pub(super) name: &'static str,
    pub(super) summary: &'static str,
    /// Paragraphs.
    pub(super) description: &'static [&'static str],
    pub(super) commands: &'static [&'static Command],
    /// The names of all commands, including those that this build lacks.
    pub(super) command_names: &'static [&'static str],
    /// The commands that the error of a missing command recommends.
    pub(super) first_steps: &'static str,
}

/// A command of a program.
pub(super) struct Command {
    /// The program and the command, such as `probelet run`.
    pub(super) name: &'static str,
    /// Another name of the command, such as `kube-inject` for `file`.
    pub(super) alias: Option<&'static str>,
    /// One line.
    pub(super) summary: &'static str,
    /// The arguments after the name, one form per item.
    pub(super) usage: &'static [&'static str],
    /// Paragraphs.
    pub(super) description: &'static [&'static str],
    /// Text that is not wrapped, before the flags.
    pub(super) blocks: &'static [Block],
    /// The tables, in the order of the help.
    pub(super) tables: &'static [&'static [Section]],
    /// The prefix of the environment variables that set the flags, such as `PROBELET_`.
    pub(super) env_prefix: Option<&'static str>,
    pub(super) exit_status: &'static str,
}

/// A title and lines below it that are not wrapped.
pub(super) struct Block {
    pub(super) title: &'static str,
    pub(super) lines: &'static [&'static str],
}

/// Flags below a title.
pub(super) struct Section {
    pub(super) title: &'static str,
    pub(super) flags: &'static [Flag],
}

/// A flag.
pub(super) struct Flag {
    /// The name, such as `--status-port`; argh knows it, too.
    pub(super) long: &'static str,
    /// The names that are accepted, the short one first.
    pub(super) spellings: &'static [&'static str],
    /// The name of its value; a switch has none.
    pub(super) value: Option<&'static str>,
    pub(super) default: Option<DefaultValue>,
    pub(super) is_repeatable: bool,
    /// Other environment variables that set the flag, read after the one with the prefix, in this order.
    pub(super) env_aliases: &'static [&'static str],
    /// The setting of the injector that the flag sets.
    #[cfg(feature = "inject")]
    pub(super) setting: Option<Setting>,
    pub(super) help: &'static str,
}

/// The other names of a setting of the injector.
#[cfg(feature = "inject")]
#[derive(Clone, Copy)]
pub(super) struct Setting {
    /// The member of `probelet` in the ConfigMap's `values`.
    pub(super) key: &'static str,
    /// The annotation of a pod.
    #[cfg(all(test, feature = "check"))]
    pub(super) annotation: &'static str,
}

/// The value of a flag that is not given.
pub(super) enum DefaultValue {
    Text(&'static str),
    Number(u64),
}

impl Display for DefaultValue {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Number(number) => write!(f, "{number}"),
        }
    }
}

/// A struct that argh parses into, and the sections of its flags.
#[cfg(any(feature = "check", feature = "inject"))]
pub(super) trait Table: argh::FromArgs {
    const SECTIONS: &'static [Section];
}

impl Command {
    pub(super) fn sections(&self) -> impl Iterator<Item = &'static Section> {
        self.tables.iter().copied().flatten()
    }

    pub(super) fn flags(&self) -> impl Iterator<Item = &'static Flag> {
        self.sections().flat_map(|section| section.flags)
    }

    /// The environment variables of a flag, in the order in which they are read.
    pub(super) fn env_names(&self, flag: &Flag) -> Vec<String> {
        let own = self.env_prefix.map(|prefix| {
            let name = flag.long.trim_start_matches('-').replace('-', "_");
            format!("{prefix}{}", name.to_ascii_uppercase())
        });
        let others = flag.env_aliases.iter().map(|name| (*name).into());
        own.into_iter().chain(others).collect()
    }

    /// The name without the program's.
    pub(super) fn subcommand(&self) -> &'static str {
        self.name
            .rsplit_once(' ')
            .map_or(self.name, |(_, subcommand)| subcommand)
    }

    /// The name without the program's, and the alias.
    pub(super) fn subcommands(&self) -> impl Iterator<Item = &'static str> {
        core::iter::once(self.subcommand()).chain(self.alias)
    }

    /// The program and the alias, such as `probelet-inject kube-inject`.
    pub(super) fn full_alias(&self) -> Option<String> {
        let program = self.name.trim_end_matches(self.subcommand());
        self.alias.map(|alias| format!("{program}{alias}"))
    }
}

/// `--` and the name of a field with dashes, for [`flags!`].
pub(super) const fn long_name<const LEN: usize>(field: &str) -> [u8; LEN] {
    let mut name = [b'-'; LEN];
    let mut index = 0;
    while index < field.len() {
        let byte = field.as_bytes()[index];
        name[index + 2] = if byte == b'_' { b'-' } else { byte };
        index += 1;
    }
    name
}

/// Defines a struct for argh and its table of flags:
///
/// ```text
/// struct Flags {
///     "Section" {
///         option status_port: Option<String>, value "PORT" = Number(15020), "Listen on this port";
///         option filename (short "-f"): Vec<String>, value "FILE", "Read this manifest";
///         option header (only "-H"): Vec<String>, value "'NAME: VALUE'", "Send this header";
///         switch json: bool, "Print the result as JSON";
///     }
/// }
/// ```
///
/// After the value may follow `also [VARIABLE, ...]`, and `sets KEY by ANNOTATION` for a setting of the injector.
/// `table Flags { ... }` defines the table alone: for flags whose values are read by [`Args::given`](super::args::Args::given),
/// argh's code for each of them would be code without a use. `struct Flags with log { ... }` adds the flags of the log after
/// the others.
macro_rules! flags {
    (
        $(#[$meta:meta])*
        $vis:vis $form:ident $name:ident with log { $($body:tt)* }
    ) => {
        $crate::cli::table::flags! {
            $(#[$meta])*
            $vis $form $name {
                $($body)*
                "Log, on standard error" {
                    option log_level: Option<String>, value "LEVEL" = Text("info"),
                        "Log messages of at least this level: error, warn, info or debug";
                    option log_format: Option<String>, value "FORMAT" = Text("logfmt"),
                        "Write lines as logfmt or json";
                }
            }
        }
    };
    (
        $(#[$meta:meta])*
        $vis:vis table $name:ident { $($body:tt)* }
    ) => {
        $(#[$meta])*
        $vis struct $name;

        impl $name {
            $vis const SECTIONS: &'static [$crate::cli::table::Section] =
                $crate::cli::table::flags!(@sections { $($body)* });
        }
    };
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident { $($body:tt)* }
    ) => {
        $crate::cli::table::flags!(@struct { $(#[$meta])* $vis struct $name } { $($body)* });

        impl $crate::cli::table::Table for $name {
            const SECTIONS: &'static [$crate::cli::table::Section] =
                $crate::cli::table::flags!(@sections { $($body)* });
        }
    };
    (@struct { $(#[$meta:meta])* $vis:vis struct $name:ident } {$(
        $title:literal {$(
            $kind:ident $field:ident $(($($spelling:tt)*))?: $wrapper:ident $(<$item:ident>)?,
            $(value $value:literal $(= $default:expr)?,)?
            $(also $aliases:expr,)?
            $(sets $key:literal by $annotation:expr,)?
            $help:literal;
        )*}
    )*}) => {
        $(#[$meta])*
        #[derive(argh::FromArgs, Debug, Default)]
        $vis struct $name {$($(
            #[argh($kind)]
            $vis $field: $wrapper $(<$item>)?,
        )*)*}
    };
    (@sections {$(
        $title:literal {$(
            $kind:ident $field:ident $(($($spelling:tt)*))?: $wrapper:ident $(<$item:ident>)?,
            $(value $value:literal $(= $default:expr)?,)?
            $(also $aliases:expr,)?
            $(sets $key:literal by $annotation:expr,)?
            $help:literal;
        )*}
    )*}) => {{
        #[allow(unused_imports)]
        use $crate::cli::table::{DefaultValue::{Number, Text}, Flag, Section};
        &[$(Section {
            title: $title,
            flags: &[$(Flag {
                long: $crate::cli::table::flags!(@long $field),
                spellings: $crate::cli::table::flags!(@spellings $field $($($spelling)*)?),
                value: $crate::cli::table::flags!(@optional $($value)?),
                default: $crate::cli::table::flags!(@optional $($($default)?)?),
                is_repeatable: matches!(stringify!($wrapper).as_bytes(), b"Vec"),
                env_aliases: $crate::cli::table::flags!(@list $($aliases)?),
                #[cfg(feature = "inject")]
                setting: $crate::cli::table::flags!(@setting $($key, $annotation)?),
                help: $help,
            }),*],
        }),*]
    }};
    (@long $field:ident) => {{
        const FIELD: &str = stringify!($field);
        const NAME: &[u8] = &$crate::cli::table::long_name::<{ FIELD.len() + 2 }>(FIELD);
        match core::str::from_utf8(NAME) {
            Ok(name) => name,
            Err(_) => panic!("a field's name is text"),
        }
    }};
    (@spellings $field:ident) => { &[$crate::cli::table::flags!(@long $field)] };
    (@spellings $field:ident only $only:literal) => { &[$only] };
    (@spellings $field:ident short $short:literal) => { &[$short, $crate::cli::table::flags!(@long $field)] };
    (@optional) => { None };
    (@optional $some:expr) => { Some($some) };
    (@list) => { &[] };
    (@list $list:expr) => { &$list };
    (@setting) => { None };
    (@setting $key:literal, $annotation:expr) => {
        Some($crate::cli::table::Setting { key: $key, #[cfg(all(test, feature = "check"))] annotation: $annotation })
    };
}
pub(super) use flags;
