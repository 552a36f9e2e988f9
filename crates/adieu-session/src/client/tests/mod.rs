mod machine;
mod vectors;
