//! The flag that makes kinds known.

use crate::cli::exit::Exit;
use crate::cli::table::{Command, flags};
use crate::inject::values::{KIND_TEMPLATES, Values};
use crate::text::Quoted;

flags! {
    /// The flag that makes kinds known.
    pub(super) struct KindFlags {
        "Kinds" {
            option kind_template: Vec<String>, value "RESOURCE.GROUP=PATH",
                "Inject this kind as well, whose pod template is at PATH, such as rollouts.argoproj.io=spec.template; [*] \
                 after a key means each item of its list, and the path none ignores the kind; may be given more than once; \
                 in the ConfigMap, `kindTemplates` of `probelet` has them separated by commas";
        }
    }
}

impl KindFlags {
    /// Adds the kinds to the settings.
    ///
    /// # Errors
    /// The first value that is not valid.
    pub(super) fn add_to(&self, values: &mut Values, command: &Command) -> Result<(), Exit> {
        for kind in &self.kind_template {
            values
                .set_from_text(KIND_TEMPLATES, kind)
                .map_err(|error| {
                    command.usage_error(error.describe(&"--kind-template", &Quoted(kind)))
                })?;
        }
        Ok(())
    }
}
