import './soak.test';
