"""The spiking neuron over a sequence: its convention, its recurrence, and four back ends that agree to the last bit."""
