"""What nets and tasks may be able to do beside the usual, by what they are; nobody is asked for a method by its name."""
