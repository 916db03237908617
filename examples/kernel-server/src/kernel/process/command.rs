//! Builds the command that starts a kernel.

use std::env;
use std::io;
use std::path::Path;
use std::process::{self, Stdio};

use tokio::process::Command;

use crate::kernel::spec::Installed;

/// Environment variables with secrets of the server, which kernels must not inherit.
const SECRETS: [&str; 2] = ["JUPYTER_TOKEN", "JUPYTER_TOKEN_FILE"];

pub(super) fn build(spec: &Installed, connection_file: &Path) -> io::Result<Command> {
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
        // Lets ipykernel and other kernels exit when this process ends.
        .env("JPY_PARENT_PID", process::id().to_string())
        .stdin(Stdio::null())
        // Belongs to the log, because our standard output shows the link to the user.
        .stdout(io::stderr())
        // A separate process group keeps Ctrl-C in the terminal from the kernel, and lets signals
        // reach the processes that the kernel starts.
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

/// Resolves a program such as `python` to the one in the environment of the kernelspec.
fn locate(program: &str, spec: &Installed) -> String {
    let path = spec
        .prefix
        .as_ref()
        .map(|prefix| prefix.join("bin").join(program));
    match path {
        Some(path) if !program.contains('/') && path.is_file() => {
            path.to_string_lossy().into_owned()
        }
        _ => program.to_owned(),
    }
}

/// Replaces `${NAME}` with the value of the environment variable. Unknown ones stay unchanged.
fn expand(value: &str) -> String {
    let mut expanded = String::new();
    let mut rest = value;
    while let Some((before, after)) = rest.split_once("${") {
        let Some((name, remainder)) = after.split_once('}') else {
            break;
        };
        expanded += before;
        match env::var(name) {
            Ok(value) => expanded += &value,
            Err(_) => expanded += &format!("${{{name}}}"),
        }
        rest = remainder;
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
        let command = build(&spec, Path::new("/c.json")).unwrap();
        let arguments: Vec<_> = command.as_std().get_args().collect();
        assert_eq!(arguments, ["-f", "/c.json", "--from=/specs/x"]);
    }

    #[test]
    fn program_of_the_environment_takes_precedence() {
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
    fn kernels_do_not_inherit_the_token() {
        let command = build(&spec(&["run"]), Path::new("/c.json")).unwrap();
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
    fn empty_argv_is_an_error() {
        assert!(build(&spec(&[]), Path::new("/c.json")).is_err());
    }

    #[test]
    fn variables_are_expanded_and_unknown_ones_kept() {
        let path = env::var("PATH").unwrap();
        assert_eq!(expand("/x:${PATH}:/y"), format!("/x:{path}:/y"));
        assert_eq!(expand("${NO_SUCH_VARIABLE} ${"), "${NO_SUCH_VARIABLE} ${");
    }
}
