"""What two services need: the contract over Redis, configuration, errors, logging."""
