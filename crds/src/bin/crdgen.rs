//! Prints the definitions of all kinds as YAML, as `kubectl apply -f -` takes them.

use std::error::Error;
use std::io::Write;

use fairlead_crds::definitions;

fn main() -> Result<(), Box<dyn Error>> {
    let mut output = std::io::stdout().lock();
    for definition in definitions::all() {
        write!(output, "---\n{}", definitions::yaml(&definition)?)?;
    }
    Ok(())
}
