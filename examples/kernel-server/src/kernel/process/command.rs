//! How a kernelspec becomes a command.

use std::env;
use std::io;
use std::path::Path;
use std::process::{self, Stdio};

use tokio::process::Command;

use crate::kernel::spec::Installed;

/// Variables of the server that are secrets, and no business of the code that a kernel runs.
const SECRETS: [&str; 2] = ["JUPYTER_TOKEN", "JUPYTER_TOKEN_FILE"];

pub(super) fn of(spec: &Installed, connection_file: &Path) -> io::Result<Command> {
    let mut argv = spec
        .argv
        .iter()
        .map(|argument| fill_in(argument, spec, connection_file));
    let program = argv
        .next()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the kernelspec has no argv"))?;
    let mut command = Command::new(locate(&program, spec));
    command
        .args(argv)
        .envs(spec.env.iter().map(|(name, value)| (name, expand(value))))
        // ipykernel and others end when this process is no longer their parent.
        .env("JPY_PARENT_PID", process::id().to_string())
        .stdin(Stdio::null())
        // What is printed past the protocol belongs to the log; our output is for people.
        .stdout(io::stderr())
        // A group of its own: Ctrl-C in the terminal is meant for the server, and a signal to the
        // group reaches what the kernel started too.
        .process_group(0)
        .kill_on_drop(true);
    for secret in SECRETS {
        command.env_remove(secret);
    }
    Ok(command)
}

fn fill_in(argument: &str, spec: &Installed, connection_file: &Path) -> String {
    argument
        .replace("{connection_file}", &connection_file.to_string_lossy())
        .replace("{resource_dir}", &spec.folder.to_string_lossy())
}

/// A kernelspec says `python` and means the one of its environment.
fn locate(program: &str, spec: &Installed) -> String {
    let own = spec
        .prefix
        .as_ref()
        .map(|prefix| prefix.join("bin").join(program));
    match own {
        Some(own) if !program.contains('/') && own.is_file() => own.to_string_lossy().into_owned(),
        _ => program.to_owned(),
    }
}

/// Replaces `${NAME}` by the variable of that name; an unknown one stays as it is.
fn expand(value: &str) -> String {
    let mut expanded = String::new();
    let mut rest = value;
    while let Some((before, after)) = rest.split_once("${") {
        let Some((name, behind)) = after.split_once('}') else {
            break;
        };
        expanded += before;
        match env::var(name) {
            Ok(value) => expanded += &value,
            Err(_) => expanded += &format!("${{{name}}}"),
        }
        rest = behind;
    }
    expanded + rest
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::PathBuf;

    use super::*;

    fn spec(argv: &[&str]) -> Installed {
        Installed {
            argv: argv.iter().map(|&argument| argument.to_owned()).collect(),
            env: BTreeMap::new(),
            interrupt_mode: Default::default(),
            folder: PathBuf::from("/specs/x"),
            prefix: None,
        }
    }

    #[test]
    fn placeholders_are_filled_in() {
        let spec = spec(&["run", "-f", "{connection_file}", "--from={resource_dir}"]);
        let command = of(&spec, Path::new("/c.json")).unwrap();
        let arguments: Vec<_> = command.as_std().get_args().collect();
        assert_eq!(arguments, ["-f", "/c.json", "--from=/specs/x"]);
    }

    #[test]
    fn the_program_of_the_environment_wins() {
        let prefix = tempfile::tempdir().unwrap();
        let python = prefix.path().join("bin/python");
        std::fs::create_dir(prefix.path().join("bin")).unwrap();
        std::fs::write(&python, "").unwrap();
        let spec = Installed {
            prefix: Some(prefix.path().to_owned()),
            ..spec(&["python"])
        };
        assert_eq!(locate("python", &spec), python.to_string_lossy());
        assert_eq!(locate("julia", &spec), "julia");
        assert_eq!(locate("/usr/bin/python", &spec), "/usr/bin/python");
    }

    #[test]
    fn no_kernel_is_told_the_token() {
        let command = of(&spec(&["run"]), Path::new("/c.json")).unwrap();
        for secret in SECRETS {
            assert!(
                command
                    .as_std()
                    .get_envs()
                    .any(|pair| pair == (secret.as_ref(), None))
            );
        }
    }

    #[test]
    fn an_empty_argv_is_an_error() {
        assert!(of(&spec(&[]), Path::new("/c.json")).is_err());
    }

    #[test]
    fn variables_are_expanded_and_unknown_ones_stay() {
        let path = env::var("PATH").unwrap();
        assert_eq!(expand("/x:${PATH}:/y"), format!("/x:{path}:/y"));
        assert_eq!(expand("${NO_SUCH_VARIABLE} ${"), "${NO_SUCH_VARIABLE} ${");
    }
}
