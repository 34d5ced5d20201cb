//! Short-lived commands: `ip`, `kubectl`.

use std::ffi::OsStr;
use std::io::Write;
use std::process::{Command, Output, Stdio};

use crate::error::{Context, Error, Result};

/// Runs a command with `input` on its standard input and returns its standard output.
pub(crate) fn run<S: AsRef<OsStr>>(program: impl AsRef<OsStr>, args: &[S], input: &str) -> Result<String> {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let line = display(&command);
    let mut child = command.spawn().context(|| format!("starting `{line}`"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A command that ends without reading all of it says by its status what was wrong.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().context(|| format!("waiting for `{line}`"))?;
    finish(&line, &output)
}

fn finish(line: &str, output: &Output) -> Result<String> {
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(Error::Command {
            command: line.to_owned(),
            status: output.status.to_string(),
            stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        })
    }
}

/// The command line as a person would type it.
pub(crate) fn display(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

/// Many `ip` commands in one process. In the network namespace `netns`, or in the process's own.
pub(crate) fn ip(netns: Option<&str>, lines: &[String]) -> Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    let mut args = Vec::new();
    args.extend(netns.iter().flat_map(|name| ["-n", name]));
    args.extend(["-batch", "-"]);
    let mut script = lines.join("\n");
    script.push('\n');
    run("ip", &args, &script).map(drop).map_err(|error| match error {
        // `ip` names the line by its number only.
        Error::Command { command, status, stderr } => {
            Error::Command { command, status, stderr: format!("{stderr}; the lines were:\n{script}") }
        }
        other => other,
    })
}
