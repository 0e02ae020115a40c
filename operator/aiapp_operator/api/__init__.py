"""The AIApp API: types, conditions, facts and the CRD generated from them. Pure, no I/O."""
