"""Library of served models: version folder, pointer, probe and check."""
