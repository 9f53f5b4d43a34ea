"""The circuit of one array of resistive devices with its wires, solved exactly."""
