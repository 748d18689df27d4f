"""The paper's comparisons at a small scale: tables of variants, their runs over several seeds, what came of them."""
